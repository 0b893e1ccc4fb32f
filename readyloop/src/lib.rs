//! An epoll reactor for stateful TCP servers.
//!
//! You write a [`Framer`] (or take one of [`framers`]) and a [`Handler`]; readyloop does the rest:
//! accept, read, frame, back-pressure, timers, writes, half-close, limits, shutdown. No async, no
//! global state, no hidden threads. Linux only.
//!
//! ```no_run
//! use readyloop::{Context, Handler, Lines, Peer, Server};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     type Framer = Lines;
//!     type Session = ();
//!     fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Lines, ()) {
//!         (Lines::new(1024), ())
//!     }
//!     fn on_frame(&mut self, _: &mut (), line: &[u8], context: &mut Context<'_>) {
//!         context.send(line);
//!         context.send(b"\n");
//!     }
//! }
//!
//! fn main() -> readyloop::Result<()> {
//!     Server::builder().listen("127.0.0.1:7000").run(|_thread| Echo)
//! }
//! ```
//!
//! # The arrow that a byte follows
//!
//! ```text
//! kernel ─ready(id)→ recv buffer ─→ framer ─→ handler ─→ context ─→ page, queue ─→ flush ─send→ kernel
//! ```
//!
//! Back-pressure flows the other way as data, never as a call: a session whose send queue is over
//! the high mark is not read, so its TCP window closes and the peer slows down.
//!
//! # Where things are
//!
//! [`Server`] turns settings into a running server; [`Reactor`] is one thread's loop, with its
//! single step [`Reactor::turn`]; [`kernel::Kernel`] is the seam to the operating system, with
//! [`sys`] (Linux) and [`sim`] (a deterministic model, in which the same reactor runs your handler)
//! behind it; [`Limits`] holds every bound.
//!
//! # What it is not
//!
//! An async runtime, a portability layer, a web framework.

pub mod framers;
pub mod id;
pub mod kernel;
pub mod sim;
pub mod sys;

mod address;
mod clock;
mod close;
mod context;
mod error;
mod handler;
mod incident;
mod limits;
mod mailbox;
mod page;
mod pool;
mod reactor;
mod readiness;
mod recv;
mod send;
mod server;
mod session;
mod sessions;
mod slab;
mod stats;
mod wake;
mod wheel;

pub use address::Address;
pub use bytes::Bytes;
pub use clock::Now;
pub use close::{Blame, CloseReason};
pub use context::{Context, Peer};
pub use error::{Errno, Error, Result};
pub use framers::{Framer, LengthPrefixed, Lines, Raw, Step};
pub use handler::Handler;
pub use id::SessionId;
pub use incident::Incident;
pub use limits::Limits;
pub use mailbox::Refused;
pub use reactor::{Reactor, Remote, Setup};
pub use readiness::Trigger;
pub use server::{Builder, Server};
pub use stats::Stats;
pub use sys::Poller;
pub use wheel::TimerId;
