//! The figures that we state: measured on the real program, real sockets, and printed as tables.
//!
//! They are no part of an ordinary run, for they take minutes and want the machine for themselves:
//! `cargo test --release -p readyloop-cli --test figures -- --ignored --nocapture --test-threads 1`
//! and, if it should be one only, its name. `READYLOOP_ONLY=single` leaves out every topology whose
//! name begins otherwise, `READYLOOP_ROUNDS=1` and `READYLOOP_FRAMES=1000` make it short, and
//! `READYLOOP_FIGURES=file` has every row appended to a file, for programs to read.
//!
//! One thread makes all the load, so on a small machine it is a part of what is measured. Where it
//! can be the limit, the table says how busy it was. Rounds of the things compared take turns, and
//! what is stated is the median, so a machine that is slow for a while is slow for all of them.

#![allow(clippy::unwrap_used, reason = "all of it is tests, also what stands outside of a test")]

mod accepts;
mod broadcast;
mod load;
mod neighbours;
mod order;
mod rates;
mod server;
mod stats;
mod throughput;
mod told;
