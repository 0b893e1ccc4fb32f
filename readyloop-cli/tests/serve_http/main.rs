//! `readyloop serve http` as its callers meet it: the real program, real sockets, every topology.
//!
//! Every test starts a server of its own on a free port, and nothing waits without a deadline.

#![allow(clippy::unwrap_used, reason = "all of it is tests, also what stands outside of a test")]

/// What must be refused: the table that the framer is tested with.
#[path = "../../../readyloop-protocols/src/http/cases.rs"]
mod cases;
mod exchange;
mod files;
mod options;
mod program;
mod refusals;
