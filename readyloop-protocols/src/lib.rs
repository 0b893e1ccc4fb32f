//! Protocols for readyloop servers: each is a framer, and what reads and writes its frames.
//!
//! They are built on the public API of `readyloop` alone, each behind a feature of its name, so
//! that nobody builds what he does not speak.
#![forbid(unsafe_code)]

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "websocket")]
pub mod websocket;
