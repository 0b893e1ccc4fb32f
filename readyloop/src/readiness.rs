//! The words in which a poller is asked and answers: trigger, interest, ready. Plain data.

use std::fmt;

use crate::id::Token;

/// When the poller tells about readiness: while it lasts, or once when it begins (epoll(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Trigger {
    /// As long as a socket is ready, every wait reports it.
    #[default]
    Level,
    /// A wait reports a socket once each time that it becomes ready (`EPOLLET`).
    Edge,
}

impl Trigger {
    /// Both, with their names.
    pub const NAMES: [(&'static str, Trigger); 2] =
        [("level", Trigger::Level), ("edge", Trigger::Edge)];
}

impl fmt::Display for Trigger {
    /// Its name, as in [`Trigger::NAMES`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Trigger::Level => "level",
            Trigger::Edge => "edge",
        })
    }
}

/// Which readiness a socket is watched for. Errors and hang-ups are always reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Interest(u8);

impl Interest {
    /// Errors only.
    pub const NONE: Interest = Interest(0);
    /// Bytes to read, a peer that has finished, or a caller to accept.
    pub const READ: Interest = Interest(1);
    /// Room to write, or the end of a connect.
    pub const WRITE: Interest = Interest(2);
    /// Both.
    pub const BOTH: Interest = Interest(3);

    /// This interest and also `other`.
    #[inline]
    pub const fn and(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }

    /// Whether reading is part of it.
    #[inline]
    pub const fn reads(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether writing is part of it.
    #[inline]
    pub const fn writes(self) -> bool {
        self.0 & 2 != 0
    }
}

/// One entry of the ready list. Any of it may be spurious; all of it may be about the dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ready {
    /// Who is ready.
    pub token: Token,
    /// The readiness, as a union of the constants of this type.
    pub flags: u32,
}

/// The bits have the values of `EPOLLIN` and its siblings (the same as `POLLIN`'s), so that the
/// Linux side copies a word where it would otherwise translate one.
impl Ready {
    /// `EPOLLIN`: bytes to read, or the end, or a caller to accept.
    pub const READABLE: u32 = 0x001;
    /// `EPOLLPRI`: an urgent mark lies in the stream (tcp(7)), so a short read has not emptied the
    /// socket. Reported under edge only: under level the rest is reported anyway.
    pub const URGENT: u32 = 0x002;
    /// `EPOLLOUT`: room to write.
    pub const WRITABLE: u32 = 0x004;
    /// `EPOLLERR`: an error waits in `SO_ERROR`.
    pub const ERROR: u32 = 0x008;
    /// `EPOLLHUP`: both directions have ended.
    pub const HANGUP: u32 = 0x010;
    /// `EPOLLRDHUP`: the peer has ended its direction.
    pub const PEER_FINISHED: u32 = 0x2000;

    /// Whether any of `flags` is set.
    #[inline]
    pub fn any(self, flags: u32) -> bool {
        self.flags & flags != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_is_written_by_its_name() {
        assert!(Trigger::NAMES.iter().all(|(name, trigger)| *name == trigger.to_string()));
    }
}
