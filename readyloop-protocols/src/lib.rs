//! Protocols for readyloop servers: each is a framer, and what reads and writes its frames.
//!
//! They are built on the public API of `readyloop` alone, each behind a feature of its name, so
//! that nobody builds what he does not speak.
#![forbid(unsafe_code)]

mod waiting;

pub use waiting::Waiting;

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "resp")]
pub mod resp;
#[cfg(feature = "websocket")]
pub mod websocket;

/// How framers are tried on random streams: the same ones each time, and no files are left behind.
#[cfg(test)]
fn random_streams() -> proptest::test_runner::Config {
    use proptest::test_runner::{Config, RngSeed};
    Config { rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..Config::with_cases(500) }
}
