//! How hostile the model kernel and its network are: a chance for each thing that Linux allows.
//!
//! Everything here is within the contract of `kernel::Kernel`, so a server must bear it. What
//! it is not: the caller's own acts (an end, a reset, a stalled reader) belong to the test.

use super::rng::Rng;

/// The chance of each fault, in thousandths of the occasions on which it could happen.
///
/// `Default` is [`Faults::none`]. Build others from it: `Faults { spurious: 50, ..Faults::none()
/// }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Faults {
    /// A connection stands still while the network moves on. At most 950 counts, or nothing would
    /// arrive.
    pub delay: u32,
    /// Only a piece of what is in flight arrives.
    pub split: u32,
    /// The network moves on right before a call, and not only inside of a wait.
    pub between_calls: u32,
    /// Under level, a read returns less than it could. Never under edge, where a short read means
    /// that nothing is left (epoll(7)).
    pub short_reads: u32,
    /// An urgent mark lies between the bytes that arrive (tcp(7), `MSG_OOB`): a read ends there,
    /// also under edge, though more has come.
    pub urgent: u32,
    /// A write takes less than it could, or nothing; a writable edge follows.
    pub short_writes: u32,
    /// The send buffer for a new connection holds a random 1 to 4,096 bytes.
    pub small_windows: u32,
    /// What is in flight when a connection is reset is lost, as the reset overtakes it.
    pub lost_before_reset: u32,
    /// A wait reports a watched socket or listener as readable or writable when it is neither.
    pub spurious: u32,
    /// A wait reports a socket that was closed earlier, with any flags.
    pub stale: u32,
    /// A wait reports one of its events twice.
    pub duplicate: u32,
    /// The ready list comes in random order.
    pub shuffle: u32,
    /// A signal interrupts a wait: it returns 0 at once, whatever is ready.
    pub interrupted: u32,
    /// A wait returns up to 2 ms later than it had to.
    pub late: u32,
    /// A caller is lost or forbidden before it is accepted; it sees a reset.
    pub accept_skipped: u32,
    /// A descriptor, or memory, is missing for an accept.
    pub accept_exhausted: u32,
    /// Another thread takes the descriptor in reserve for up to 20 ms, right when it was given up to refuse
    /// a caller.
    pub reserve_taken: u32,
    /// Watching a new socket fails (`ENOSPC`, `ENOMEM`).
    pub watch_refused: u32,
    /// Changing what a socket is watched for fails (`ENOMEM`).
    pub rearm_refused: u32,
    /// Kernel memory runs out: for this one call, or for this and other kinds of calls for up to 20 ms.
    /// Asked at each accept, connect, read, write, and change of the interest list.
    pub memory_short: u32,
    /// A connect fails at once (`ENETUNREACH`).
    pub connect_refused: u32,
    /// The most true events that one wait reports; the others come with the next waits. Not a
    /// chance. At least 1.
    pub events_max: usize,
}

/// The most that [`Faults::delay`] counts for.
pub(super) const DELAY_MAX: u32 = 950;

impl Faults {
    /// No fault: what was sent arrives whole at the next wait, and every call does all that it
    /// could.
    ///
    /// System calls can then be counted exactly.
    pub const fn none() -> Faults {
        Faults {
            delay: 0,
            split: 0,
            between_calls: 0,
            short_reads: 0,
            urgent: 0,
            short_writes: 0,
            small_windows: 0,
            lost_before_reset: 0,
            spurious: 0,
            stale: 0,
            duplicate: 0,
            shuffle: 0,
            interrupted: 0,
            late: 0,
            accept_skipped: 0,
            accept_exhausted: 0,
            reserve_taken: 0,
            watch_refused: 0,
            rearm_refused: 0,
            memory_short: 0,
            connect_refused: 0,
            events_max: 1024,
        }
    }

    /// Everything at once, but nothing that ends a connection whose socket is already watched: on
    /// such a connection not one byte may be lost.
    pub const fn hostile() -> Faults {
        Faults {
            delay: 300,
            split: 500,
            between_calls: 200,
            short_reads: 200,
            urgent: 20,
            short_writes: 200,
            small_windows: 300,
            lost_before_reset: 500,
            spurious: 100,
            stale: 200,
            duplicate: 200,
            shuffle: 500,
            interrupted: 50,
            late: 100,
            accept_skipped: 30,
            accept_exhausted: 30,
            reserve_taken: 300,
            watch_refused: 20,
            rearm_refused: 20,
            memory_short: 5,
            connect_refused: 30,
            events_max: 4,
        }
    }

    /// A mixture of its own for each seed: of [`Faults::hostile`]'s, some are off and some are
    /// twice as likely.
    pub fn random(seed: u64) -> Faults {
        let mut rng = Rng::new(seed);
        let mut faults = Faults::hostile();
        for chance in [
            &mut faults.delay,
            &mut faults.split,
            &mut faults.between_calls,
            &mut faults.short_reads,
            &mut faults.short_writes,
            &mut faults.small_windows,
            &mut faults.lost_before_reset,
            &mut faults.spurious,
            &mut faults.stale,
            &mut faults.duplicate,
            &mut faults.shuffle,
            &mut faults.interrupted,
            &mut faults.late,
            &mut faults.accept_skipped,
            &mut faults.accept_exhausted,
            &mut faults.reserve_taken,
            &mut faults.watch_refused,
            &mut faults.rearm_refused,
            &mut faults.memory_short,
            &mut faults.connect_refused,
            &mut faults.urgent,
        ] {
            *chance *= [0, 1, 2][rng.below(3)];
        }
        faults.events_max = rng.piece(64);
        faults
    }
}

impl Default for Faults {
    fn default() -> Faults {
        Faults::none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_one_mixture() {
        assert_eq!(Faults::random(7), Faults::random(7));
        assert_ne!(Faults::random(7), Faults::random(8));
    }
}
