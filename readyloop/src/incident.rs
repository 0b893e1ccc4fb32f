//! What a reactor reports to whoever watches over it: rare, and nobody's session's business.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::address::Address;
use crate::close::CloseReason;
use crate::error::Errno;
use crate::id::SessionId;
use crate::stats::Stats;

/// Something that an operator may want to read in a log.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Incident {
    /// Descriptors or memory ran out; the listener takes no callers until a session has ended, or for
    /// `Limits::listener_rest`.
    ListenerRests {
        /// Which listener, in the order in which they were given.
        listener: usize,
        /// What ran out.
        errno: Errno,
    },
    /// The kernel had no memory for a session, or no watch (`ENOMEM`, `ENOBUFS`, `ENOSPC`). One that is
    /// new is closed; for others the call is made again a little later, until it succeeds.
    OutOfMemory {
        /// The session.
        id: SessionId,
        /// What the kernel said.
        errno: Errno,
    },
    /// A handler, or a framer, panicked; its session is closed with `HandlerPanicked`.
    Panicked {
        /// The session that was being served; `SessionId::NONE` outside of any session.
        id: SessionId,
        /// The panic's message.
        message: String,
    },
    /// A worker is busy with one session's frames for too long (`Limits::stall_timeout`). Told once
    /// for each such run; the session's other frames, and nobody else's, wait for it.
    Stalled {
        /// The session.
        id: SessionId,
        /// The worker's number.
        worker: usize,
        /// How long it has lasted, at least.
        at_least: Duration,
    },
    /// A caller did not become a session, because what must come before one (a TLS handshake, the header
    /// of a proxy) has failed or took too long. Callers that have only left are counted
    /// (`Stats::preambles_failed`) and not told.
    PreambleFailed {
        /// Who called.
        address: Address,
        /// Why it was closed.
        reason: CloseReason,
    },
    /// A reactor began to drain.
    Draining {
        /// How many sessions were open on it.
        sessions: usize,
    },
    /// So many incidents of one kind, since one of that kind was told, and not told one by one: at
    /// most one in ten seconds is told of each kind that can happen often.
    Repeated {
        /// The last of them.
        last: Box<Incident>,
        /// How many they were, with the last one.
        count: u64,
    },
    /// A thread of the server has ended, as it should or because it could not go on.
    Ended {
        /// All that it has counted.
        stats: Box<Stats>,
    },
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Incident::ListenerRests { listener, errno } => {
                write!(f, "listener {listener} rests: {errno}")
            }
            Incident::OutOfMemory { id, errno } => {
                write!(f, "the kernel is short of memory for session {id}: {errno}")
            }
            Incident::Panicked { id, message } => {
                write!(f, "handler panicked, session {id} is closed: {message}")
            }
            Incident::Stalled { id, worker, at_least } => {
                write!(f, "worker {worker} is busy with session {id} for over {at_least:?}")
            }
            Incident::Repeated { last, count } => {
                write!(f, "{last}; it is the last of {count} like it since the last report")
            }
            Incident::PreambleFailed { address, reason } => {
                write!(f, "a caller from {address} did not become a session: {reason}")
            }
            Incident::Draining { sessions } => write!(f, "draining {sessions} sessions"),
            Incident::Ended { stats } => write!(f, "ended after {} sessions", stats.opened),
        }
    }
}

/// What a panic has said.
pub fn panic_message(panic: Box<dyn Any + Send>) -> String {
    let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_string(),
        (_, Some(text)) => text.clone(),
        _ => "no message".to_string(),
    };
    discard(panic);
    message
}

/// Drops what a panic has brought, which may be a user's own type and panic in turn.
pub fn discard(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        // Whatever this one does when it is dropped, it is not worth a thread.
        std::mem::forget(again);
    }
}
