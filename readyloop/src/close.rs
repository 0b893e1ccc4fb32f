//! Why a session ended. Every session ends with exactly one reason, grouped by who must act.

use std::fmt;

use crate::error::Errno;

/// Why a session ended; told to `Handler::on_close` exactly once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer ended its direction first. What was queued for it has left, unless the peer had closed
    /// both directions by then.
    PeerFinished,
    /// The peer tore the connection down (`ECONNRESET`, `EPIPE`).
    PeerReset,
    /// The peer stopped answering the kernel (`ETIMEDOUT`, `EHOSTUNREACH`, …).
    PeerLost(Errno),
    /// The framer, or what came before the session (a handshake), refused the peer's bytes, for this
    /// reason.
    Malformed(&'static str),
    /// A dialled peer did not take the connection.
    ConnectFailed(Errno),

    /// The peer announced or sent a frame over `Limits::frame_bytes_max`, or over what its framer takes.
    FrameTooLong,
    /// The send queue would have passed `Limits::send_max_bytes`; or as many messages of other threads
    /// (`Remote::tell`) as an inbox holds waited for the session already.
    SendFull,
    /// A group to which it belongs closes members whose send queue stands over the high mark.
    TooSlow,
    /// No byte came from the peer for `Limits::idle_timeout`.
    IdleTimeout,
    /// The first whole frame did not come within `Limits::handshake_timeout`, or what must come before
    /// the session was not done within `Limits::preamble_timeout`.
    HandshakeTimeout,
    /// A dialled peer did not answer before the deadline given to `connect`.
    ConnectTimeout,
    /// Bytes waited for the peer, and it took fewer than `Limits::write_bytes_min` of them for
    /// `Limits::write_timeout`.
    WriteTimeout,
    /// After a close, the peer did not take what was queued within `Limits::drain_timeout`.
    DrainTimeout,

    /// The handler closed the session, and everything that was queued has left.
    Closed,
    /// The handler, or another thread, cut the session off at once.
    Aborted,
    /// The server stopped.
    Stopped,
    /// The handler panicked while it served this session.
    HandlerPanicked,
    /// The framer broke its contract: it consumed nothing, or named bytes outside of its input.
    FramerBroke,
    /// The kernel refused a call that should have succeeded.
    System(Errno),
}

/// Who must act on a [`CloseReason`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Blame {
    /// The other side of the connection.
    Peer,
    /// A limit that was set for this server.
    Limit,
    /// This program, or the machine that it runs on.
    Us,
}

impl CloseReason {
    /// How many kinds of reasons there are; [`CloseReason::kind`] is always below it.
    pub const KINDS: usize = 19;

    /// The names of the kinds, as used in metrics.
    pub const KIND_NAMES: [&'static str; CloseReason::KINDS] = [
        "peer_finished",
        "peer_reset",
        "peer_lost",
        "malformed",
        "connect_failed",
        "frame_too_long",
        "send_full",
        "too_slow",
        "idle_timeout",
        "handshake_timeout",
        "connect_timeout",
        "write_timeout",
        "drain_timeout",
        "closed",
        "aborted",
        "stopped",
        "handler_panicked",
        "framer_broke",
        "system",
    ];

    /// The kind of the reason, without its details: an index into [`CloseReason::KIND_NAMES`].
    pub fn kind(self) -> usize {
        match self {
            CloseReason::PeerFinished => 0,
            CloseReason::PeerReset => 1,
            CloseReason::PeerLost(_) => 2,
            CloseReason::Malformed(_) => 3,
            CloseReason::ConnectFailed(_) => 4,
            CloseReason::FrameTooLong => 5,
            CloseReason::SendFull => 6,
            CloseReason::TooSlow => 7,
            CloseReason::IdleTimeout => 8,
            CloseReason::HandshakeTimeout => 9,
            CloseReason::ConnectTimeout => 10,
            CloseReason::WriteTimeout => 11,
            CloseReason::DrainTimeout => 12,
            CloseReason::Closed => 13,
            CloseReason::Aborted => 14,
            CloseReason::Stopped => 15,
            CloseReason::HandlerPanicked => 16,
            CloseReason::FramerBroke => 17,
            CloseReason::System(_) => 18,
        }
    }

    /// Who must act.
    pub fn blame(self) -> Blame {
        match self.kind() {
            0..=4 => Blame::Peer,
            5..=12 => Blame::Limit,
            _ => Blame::Us,
        }
    }

    /// The reason behind an errno of a read or a write.
    #[cold]
    pub fn from_io(errno: Errno) -> CloseReason {
        match errno {
            Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED => CloseReason::PeerReset,
            Errno::TIMEDOUT | Errno::HOSTUNREACH => CloseReason::PeerLost(errno),
            // EHOSTDOWN, ENETUNREACH, ENETDOWN: the network took the peer away.
            Errno(112 | 101 | 100) => CloseReason::PeerLost(errno),
            other => CloseReason::System(other),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CloseReason::KIND_NAMES[self.kind()])?;
        match self {
            CloseReason::Malformed(why) => write!(f, " ({why})"),
            CloseReason::PeerLost(errno)
            | CloseReason::ConnectFailed(errno)
            | CloseReason::System(errno) => write!(f, " ({errno})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blame_follows_the_groups() {
        assert_eq!(CloseReason::Malformed("x").blame(), Blame::Peer);
        assert_eq!(CloseReason::ConnectFailed(Errno::CONNREFUSED).blame(), Blame::Peer);
        assert_eq!(CloseReason::FrameTooLong.blame(), Blame::Limit);
        assert_eq!(CloseReason::DrainTimeout.blame(), Blame::Limit);
        assert_eq!(CloseReason::Closed.blame(), Blame::Us);
        assert_eq!(CloseReason::System(Errno::NOMEM).blame(), Blame::Us);
    }

    #[test]
    fn a_reason_reads_as_one_word_and_its_detail() {
        assert_eq!(CloseReason::SendFull.to_string(), "send_full");
        assert_eq!(
            CloseReason::Malformed("no end of line").to_string(),
            "malformed (no end of line)"
        );
    }
}
