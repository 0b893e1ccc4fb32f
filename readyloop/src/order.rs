//! What one thread asks of the sessions of another: plain data, done by the reactor that owns them.

use bytes::Bytes;

use crate::envelope::Envelope;
use crate::group::Group;
use crate::id::SessionId;

/// One thing to be done to a session, wherever it lives. To the dead it is done to nobody.
#[derive(Debug)]
pub enum Order {
    /// Queue bytes.
    Send(SessionId, Bytes),
    /// Close after the queue has left.
    Close(SessionId),
    /// Cut off at once.
    Abort(SessionId),
    /// Add to a group.
    Join(SessionId, Group),
    /// Add to a group that counts it as a member of that reactor already.
    JoinCounted(SessionId, Group),
    /// Take out of a group.
    Leave(SessionId, Group),
    /// Send to all members of a group on one reactor.
    Broadcast(u8, Group, Bytes),
    /// Do not read until the queue has fallen to the low mark.
    Pause(SessionId),
    /// Put this around all that is sent.
    SetEnvelope(SessionId, Option<&'static Envelope>),
    /// The slow members for which a sender was held have caught up.
    Release(SessionId),
}

impl Order {
    /// Whether somebody waits for it, and would for ever if it were not taken. There is at most one
    /// for each session.
    pub fn is_owed(&self) -> bool {
        matches!(self, Order::Release(_))
    }

    /// The reactor that must do it.
    pub fn reactor(&self) -> u8 {
        match self {
            Order::Send(id, _)
            | Order::Close(id)
            | Order::Abort(id)
            | Order::Join(id, _)
            | Order::JoinCounted(id, _)
            | Order::Leave(id, _)
            | Order::Pause(id)
            | Order::SetEnvelope(id, _)
            | Order::Release(id) => id.reactor(),
            Order::Broadcast(reactor, ..) => *reactor,
        }
    }
}
