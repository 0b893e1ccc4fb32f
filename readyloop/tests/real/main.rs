//! The public API on real sockets, with every topology, poller and trigger: the server in threads
//! of its own, plain blocking clients in others.
//!
//! Nothing sleeps: a client's read ends by an answer, or fails the test after 20 s.
#![allow(clippy::unwrap_used)]

mod hooks;
mod pinning;
mod reports;
mod running;
mod serving;
mod sockets;
mod topologies;
