//! What one thread asks of the sessions of another: plain data, done by the reactor that owns them.

use bytes::Bytes;

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
}

impl Order {
    /// The reactor that must do it.
    pub fn reactor(&self) -> u8 {
        match self {
            Order::Send(id, _) | Order::Close(id) | Order::Abort(id) => id.reactor(),
        }
    }
}
