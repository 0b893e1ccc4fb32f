//! An epoll reactor for stateful TCP servers.

pub mod id;
pub mod kernel;
pub mod sim;

mod address;
mod clock;
mod close;
mod error;
mod incident;
mod limits;
mod readiness;
mod slab;
mod stats;
mod wake;

pub use address::Address;
pub use clock::Now;
pub use close::{Blame, CloseReason};
pub use error::{Errno, Error, Result};
pub use id::SessionId;
pub use incident::Incident;
pub use limits::Limits;
pub use readiness::Trigger;
pub use stats::Stats;
