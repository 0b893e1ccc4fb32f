//! `readyloop serve` as its callers meet it: the real program, real sockets, every topology.
//!
//! Every test starts a server of its own on a free port, and nothing waits without a deadline.

#![allow(clippy::unwrap_used, reason = "all of it is tests, also what stands outside of a test")]

mod bench;
mod compare;
mod echo;
mod http;
mod kv;
mod program;
mod rooms;
