//! Every bound that a server lives by, with its unit and its reason, checked against each other
//! once, at start.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::id::INDEX_END;

/// Every bound of a server. Start from [`Limits::default`] and change what you must; what
/// contradicts itself is refused at start with the names of both sides.
///
/// ```
/// let limits = readyloop::Limits { frame_bytes_max: 64 * 1024, ..Default::default() };
/// assert!(limits.check().is_ok());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Sessions alive at once; the caller over it is hung up on before a session exists, after
    /// `admission_grace`. A caller whose preamble is not done (see `preamble_timeout`) has a place among
    /// them, so a flood of half-done handshakes is bounded too. Default
    /// 1,000,000: the descriptor limit (`RLIMIT_NOFILE`) is usually met first.
    pub sessions_max: usize,
    /// Sessions alive at once from one IP address; `None` counts nothing. Where a preamble tells the
    /// address (the header of a proxy), that one is counted, and not before the preamble is done.
    /// Default `None`: behind a NAT, thousands of honest players share one address.
    pub sessions_per_address_max: Option<u32>,
    /// How long a caller over one of these limits waits for a session to end before it is hung up
    /// on. The place that it wants is often its own: it has closed and comes back at once, and the
    /// end of its old session is read only after the call. Zero hangs up at once. Default 250 ms: a
    /// busy worker's round trip, and more than a client's patience should need.
    pub admission_grace: Duration,
    /// Callers that wait so on each thread that accepts; each has a descriptor and nothing else.
    /// Over it one is hung up on: of the same address, or if none of that waits, of all, the one that
    /// has waited for the longest. Default 256.
    pub admission_waiting_max: usize,

    /// The longest frame in bytes, as its framer counts it with everything that belongs to it. A
    /// peer that announces or sends more is closed with `FrameTooLong`. Memory for a long frame
    /// grows with the bytes that came, not with the bytes that were announced. Default 16 MiB.
    pub frame_bytes_max: usize,
    /// The receive buffer in bytes, one for each reactor. A frame that fits is handled where it was
    /// read; a longer one gets a buffer of its own. Default 64 KiB: one read empties a socket that
    /// was filled by a burst, and the buffer stays in the second-level cache.
    pub recv_buffer_bytes: usize,
    /// How many bytes a session may read in one turn before the others have theirs. Default 64 KiB:
    /// one full buffer.
    pub recv_budget_bytes: usize,

    /// A session that was paused is read again when its send queue has fallen to this many bytes.
    /// Default 64 KiB.
    pub send_low_bytes: usize,
    /// A session whose send queue is longer than this is not read. Default 256 KiB.
    pub send_high_bytes: usize,
    /// A session whose send queue would become longer than this is closed with `SendFull`. Default
    /// 64 MiB: the longest frame can be echoed from a queue that stands at the high mark.
    pub send_max_bytes: usize,
    /// How many bytes of a session are written in one turn before the others have theirs. Default
    /// 256 KiB.
    pub send_budget_bytes: usize,

    /// Callers accepted from one listener in one turn, or taken over from the acceptor. Default 192:
    /// an accept with its `epoll_ctl` costs about 10 µs, so a flood delays the open sessions by 2
    /// milliseconds a turn.
    ///
    /// Each class of work has its own budget of a turn, which no other class can spend: callers,
    /// events, sessions that are left over from earlier turns, lanes that have come home from
    /// workers, mails, timers. So the share of a class, while there is too much of everything, is
    /// its budget in all of them together: with one listener and these defaults, at least an
    /// eighth.
    pub accepts_per_turn: usize,
    /// Entries of the ready list fetched by one wait; and as many of the sessions that are left over,
    /// and of the lanes that have come home, are served in one turn. Default 256: 12 bytes each, so
    /// the list stays in the first-level cache.
    pub events_per_wait: usize,
    /// Mails of other threads handled in one turn. A stop is heard in the next turn, however many
    /// mails wait. Default 256.
    pub mails_per_turn: usize,
    /// Mails that wait for a reactor until they are handled: commands of other threads, and work for
    /// [`Remote::run_on`](crate::Remote::run_on). While there are so many, the next one of a thread that
    /// is none of the server's is refused. One that a callback asks for is taken, and its session is not
    /// read until half of them are handled; one that is held already, because it has timers, may ask for as
    /// many again. As many messages ([`Remote::tell`](crate::Remote::tell)) may gather for one session that
    /// is not open yet, or whose worker is busy. Default 65,536.
    pub mailbox_mails_max: usize,
    /// The same in bytes: those that a mail carries, and 64 more for itself. Bytes that one mail
    /// shares with others count for each. While so many wait, the next mail is refused, or who asks
    /// is held; one that is taken before may be of any size, so the last one may lie over the bound.
    /// Default 16 MiB: 1,000 messages of 16 KiB.
    pub mailbox_bytes_max: usize,
    /// Frames that gather for a session's lane while earlier ones are handled, in bytes, each with 16
    /// more for itself; the session is not read while there are more, until less than half is left.
    /// Default 256 KiB: as much as a send queue at its high mark. Only in the worker pool.
    pub lane_bytes_max: usize,
    /// Frames, and other tasks, that a worker handles of one session before the others have
    /// theirs. Default 64.
    pub lane_frames_per_run: usize,
    /// A worker that is busy with one run for longer than this is reported with the session's id
    /// (`Incident::Stalled`); it is found out within twice that time. At least 1 ms. Default 1 s.
    pub stall_timeout: Duration,

    /// Timers fired in one turn; the rest fire in the next one. Default 256.
    pub timers_per_turn: usize,

    /// A session whose peer gave no sign of life for this long is closed with `IdleTimeout`. A byte
    /// that comes is one, and so is a byte that the peer's kernel takes. The time does not count while
    /// the session is not read (its queue is over the high mark, its handler is busy on a worker, it
    /// waits for others), nor while bytes wait for the peer, for which there is `write_timeout`. A peer
    /// that sends one byte now and then is not idle (for that, see `handshake_timeout`). A peer that
    /// has finished cannot be idle: when to end is then the handler's decision. Default `None`.
    pub idle_timeout: Option<Duration>,
    /// A caller whose first whole frame has not come for this long after its session was opened is closed
    /// with `HandshakeTimeout`. The time does not count while the session is not read. Who was dialled may
    /// be silent. Default `None`.
    pub handshake_timeout: Option<Duration>,
    /// How long a caller may take, from the moment in which it was accepted, for what must come before a
    /// session: a TLS handshake, the header of a proxy. It is closed with `HandshakeTimeout` then, and no
    /// handler hears of it; `handshake_timeout` counts from behind that. Means nothing to a plain server.
    /// Default 10 s: several round trips, with lost packets, from the far end of the world.
    pub preamble_timeout: Duration,
    /// A session for which bytes wait, and whose peer took fewer than `write_bytes_min` of them for
    /// this long, is closed with `WriteTimeout`, whatever it sends meanwhile. What the peer's kernel
    /// has acknowledged is taken (`SIOCOUTQ`, tcp(7)); so a peer that reads slowly is not cut off.
    /// Default 60 s. `None` looks at nobody: then a peer that never reads lives for ever.
    pub write_timeout: Option<Duration>,
    /// How many bytes a peer must take in each `write_timeout`. Default 1,024.
    pub write_bytes_min: usize,
    /// How long a closing session may take to accept what is queued for it, and a stopping server
    /// to end all its sessions. Default 5 s.
    pub drain_timeout: Duration,
    /// How long we wait, after our direction has ended, for the peer to end its own. Without it,
    /// bytes that cross our close on the wire make the kernel reset the connection, and the peer
    /// may lose the end of our stream (RFC 9112, 9.6). Default 1 s.
    pub linger_timeout: Duration,
    /// How long a listener rests when descriptors or memory ran out, at least 1 ms. It is tried again
    /// as soon as a session has ended, and after each rest. Its callers wait in the backlog; if nobody
    /// could be taken for a whole rest because descriptors are missing, those who are there are hung up
    /// on. Default 100 ms.
    pub listener_rest: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sessions_max: 1_000_000,
            sessions_per_address_max: None,
            admission_grace: Duration::from_millis(250),
            admission_waiting_max: 256,
            frame_bytes_max: 16 << 20,
            recv_buffer_bytes: 64 << 10,
            recv_budget_bytes: 64 << 10,
            send_low_bytes: 64 << 10,
            send_high_bytes: 256 << 10,
            send_max_bytes: 64 << 20,
            send_budget_bytes: 256 << 10,
            accepts_per_turn: 192,
            events_per_wait: 256,
            mails_per_turn: 256,
            mailbox_mails_max: 65_536,
            mailbox_bytes_max: 16 << 20,
            lane_bytes_max: 256 << 10,
            lane_frames_per_run: 64,
            stall_timeout: Duration::from_secs(1),
            timers_per_turn: 256,
            idle_timeout: None,
            handshake_timeout: None,
            preamble_timeout: Duration::from_secs(10),
            write_timeout: Some(Duration::from_secs(60)),
            write_bytes_min: 1024,
            drain_timeout: Duration::from_secs(5),
            linger_timeout: Duration::from_secs(1),
            listener_rest: Duration::from_millis(100),
        }
    }
}

impl Limits {
    /// Checks every bound by itself and against the others.
    ///
    /// # Errors
    /// An [`Error`] with [`Error::is_settings`] that names the bounds that contradict each other.
    pub fn check(&self) -> Result<()> {
        let counts = [
            ("sessions_max", self.sessions_max),
            ("admission_waiting_max", self.admission_waiting_max),
            ("frame_bytes_max", self.frame_bytes_max),
            ("recv_budget_bytes", self.recv_budget_bytes),
            ("send_budget_bytes", self.send_budget_bytes),
            ("accepts_per_turn", self.accepts_per_turn),
            ("events_per_wait", self.events_per_wait),
            ("mails_per_turn", self.mails_per_turn),
            ("mailbox_mails_max", self.mailbox_mails_max),
            ("mailbox_bytes_max", self.mailbox_bytes_max),
            ("lane_bytes_max", self.lane_bytes_max),
            ("lane_frames_per_run", self.lane_frames_per_run),
            ("timers_per_turn", self.timers_per_turn),
            ("write_bytes_min", self.write_bytes_min),
        ];
        for (name, value) in counts {
            require(value > 0, || format!("{name} must be at least 1"))?;
        }
        require(self.sessions_max < INDEX_END, || {
            format!("sessions_max is {}, but a reactor has {INDEX_END} slots", self.sessions_max)
        })?;
        require(self.recv_buffer_bytes >= RECV_BUFFER_BYTES_MIN, || {
            format!("recv_buffer_bytes must be at least {RECV_BUFFER_BYTES_MIN}")
        })?;
        require(self.send_low_bytes < self.send_high_bytes, || {
            format!(
                "the low mark ({} bytes) must lie under the high mark ({} bytes)",
                self.send_low_bytes, self.send_high_bytes
            )
        })?;
        require(self.send_high_bytes <= self.send_max_bytes, || {
            format!(
                "the high mark ({} bytes) must not lie over the send queue's maximum ({} bytes)",
                self.send_high_bytes, self.send_max_bytes
            )
        })?;
        require(self.sessions_per_address_max != Some(0), || {
            "sessions_per_address_max must be at least 1".to_string()
        })?;
        let intervals =
            [("stall_timeout", self.stall_timeout), ("listener_rest", self.listener_rest)];
        for (name, interval) in intervals {
            require(interval >= INTERVAL_MIN, || {
                format!("{name} is {interval:?}, but must be at least {INTERVAL_MIN:?}")
            })?;
        }
        require(self.write_timeout != Some(Duration::ZERO), || {
            "the write timeout must be longer than zero".to_string()
        })?;
        require(self.idle_timeout != Some(Duration::ZERO), || {
            "the idle timeout must be longer than zero".to_string()
        })?;
        require(self.handshake_timeout != Some(Duration::ZERO), || {
            "the handshake timeout must be longer than zero".to_string()
        })?;
        require(!self.preamble_timeout.is_zero(), || {
            "the preamble timeout must be longer than zero".to_string()
        })
    }
}

/// The smallest receive buffer: a framer's longest header, and some bytes that make a read worth
/// its call.
pub const RECV_BUFFER_BYTES_MIN: usize = 64;

/// The shortest time after which something is looked at again, and again: with less, a thread that
/// only waits would not sleep.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::settings(what())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Limits)) -> String {
        let mut limits = Limits::default();
        change(&mut limits);
        let error = limits.check().unwrap_err();
        assert!(error.is_settings());
        error.to_string()
    }

    #[test]
    fn the_defaults_agree_with_each_other() {
        Limits::default().check().unwrap();
    }

    #[test]
    fn every_contradiction_is_refused_by_name() {
        assert!(refusal(|l| l.send_low_bytes = l.send_high_bytes).contains("low mark"));
        assert!(refusal(|l| l.send_max_bytes = l.send_high_bytes - 1).contains("maximum"));
        assert!(refusal(|l| l.sessions_max = INDEX_END).contains("slots"));
        assert!(refusal(|l| l.sessions_max = 0).contains("sessions_max"));
        assert!(refusal(|l| l.sessions_per_address_max = Some(0)).contains("per_address"));
        assert!(refusal(|l| l.admission_waiting_max = 0).contains("admission_waiting_max"));
        assert!(refusal(|l| l.recv_buffer_bytes = 63).contains("at least 64"));
        assert!(refusal(|l| l.events_per_wait = 0).contains("events_per_wait"));
        assert!(refusal(|l| l.lane_bytes_max = 0).contains("lane_bytes_max"));
        let short = Duration::from_micros(999);
        assert!(refusal(|l| l.stall_timeout = Duration::ZERO).contains("stall_timeout is 0ns"));
        assert!(refusal(|l| l.stall_timeout = short).contains("at least 1ms"));
        assert!(refusal(|l| l.listener_rest = Duration::ZERO).contains("listener_rest is 0ns"));
        assert!(refusal(|l| l.listener_rest = short).contains("at least 1ms"));
        assert!(refusal(|l| l.write_timeout = Some(Duration::ZERO)).contains("write"));
        assert!(refusal(|l| l.write_bytes_min = 0).contains("write_bytes_min"));
        assert!(refusal(|l| l.idle_timeout = Some(Duration::ZERO)).contains("idle"));
        assert!(refusal(|l| l.handshake_timeout = Some(Duration::ZERO)).contains("handshake"));
        assert!(refusal(|l| l.preamble_timeout = Duration::ZERO).contains("preamble"));
    }
}
