//! `readyloop serve echo`: frames, limits, options, what is printed where, and how it ends.

mod bytes;
mod descriptors;
mod limits;
mod options;
mod outputs;
mod sockets;
mod stops;
