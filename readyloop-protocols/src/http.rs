//! HTTP/1.1 for servers (RFC 9110, RFC 9112): requests, refusals, responses.
//!
//! It exists so that a service can answer browsers and tools over plain HTTP, and so that a
//! WebSocket can begin. It is not a web framework: no router, no codings, no TLS. Where the
//! protocol lets a recipient be generous, it is strict: what could be read in two ways is refused
//! and the connection ends, because a guess is how requests are smuggled past whoever stands in
//! front.

mod bytes;
mod chunks;
mod facts;
mod handler;
mod head;
mod refusal;
mod requests;
mod response;
mod scan;
mod service;
mod status;

pub use facts::Body;
pub use handler::{Exchange, Http};
pub use head::{FIELDS_MAX, Head, Headers, Version};
pub use refusal::Refusal;
pub use requests::{Begun, RequestLimits, Requests};
pub use response::{Connection, Date, Response, parse_date};
pub use service::{Answer, Answered, Request, Responder, Service};
pub use status::Status;

#[cfg(test)]
mod cases;
