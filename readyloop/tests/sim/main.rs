//! The production reactor on the simulated kernel: one module for each family of promises.
#![allow(clippy::unwrap_used)]

mod accept;
mod accept_descriptors;
mod after_the_end;
mod bytes;
mod chaos;
mod connect;
mod differences;
mod encoder_faults;
mod encoders;
mod ends;
mod fairness;
mod faults;
mod framers;
mod full_inboxes;
mod groups;
mod memory;
mod messages;
mod order;
mod preamble_worlds;
mod preambles;
mod readiness;
mod reports;
mod scripts;
mod seeds;
mod stopping;
mod threads;
mod timer_names;
mod timing;
mod topologies;
mod town;
mod towns;
mod traces;
mod urgent;
mod world;
mod worlds;
