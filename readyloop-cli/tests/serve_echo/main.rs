//! `readyloop serve echo` as people meet it: the real program, real sockets, real signals.
//!
//! Every test starts a server of its own on a free port, and nothing waits without a deadline.

#![allow(clippy::unwrap_used, reason = "all of it is tests, also what stands outside of a test")]

mod bytes;
mod limits;
mod options;
mod outputs;
mod program;
mod stops;
