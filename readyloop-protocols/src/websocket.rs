//! WebSocket for servers (RFC 6455), as a layer: a handler that wraps a handler.
//!
//! The handler behind it cannot tell it from TCP. Each message of the peer is a frame for it, and
//! each of its sends is a message for the peer; so is everything that others send to the session,
//! by its id or in a group, because the session has a [`Header`](readyloop::Header).
//!
//! Beside the protocol there is what a browser needs to come to it: a few pages, answered over
//! HTTP/1.1 at the same address. It is not a client, and it has no `permessage-deflate`: compressed
//! messages need state for each session, in the order of 10 to 300 KiB, which is more than a
//! thousand times what an idle session costs; a peer that offers it is answered without it.

mod close;
mod frames;
mod layer;
mod messages;
mod upgrade;

pub use frames::Frames;
pub use layer::{Door, Page, Session, Web, WebSocket};
pub use messages::Kind;
