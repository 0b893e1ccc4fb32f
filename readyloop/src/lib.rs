//! An epoll reactor for stateful TCP servers.

pub mod framers;
pub mod id;
pub mod kernel;
pub mod sim;
pub mod sys;

mod address;
mod clock;
mod close;
mod error;
mod incident;
mod limits;
mod mailbox;
mod page;
mod pool;
mod readiness;
mod recv;
mod send;
mod slab;
mod stats;
mod wake;
mod wheel;

pub use address::Address;
pub use bytes::Bytes;
pub use clock::Now;
pub use close::{Blame, CloseReason};
pub use error::{Errno, Error, Result};
pub use framers::{Framer, LengthPrefixed, Lines, Raw, Step};
pub use id::SessionId;
pub use incident::Incident;
pub use limits::Limits;
pub use mailbox::Refused;
pub use readiness::Trigger;
pub use stats::Stats;
pub use sys::Poller;
pub use wheel::TimerId;
