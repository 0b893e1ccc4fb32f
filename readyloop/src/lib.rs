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
//! # Threads
//!
//! The same handler runs on one thread, on several reactors, or in a pool of workers:
//!
//! ```text
//! single    [ accept · wait → recv → frame → handle → send → flush ]                 one thread
//! multi     [ accept ] ─socket→ [ wait → recv → frame → handle → send → flush ] × N   crosses once, at birth
//! workers   [ accept · wait → recv → frame ] ─lane→ [ handle ] ─mail→ [ send → flush ] crosses twice per batch
//! ```
//!
//! [`Builder::topology`] chooses. [`Server::run`] takes a factory and calls it once for each thread
//! that runs handlers, so a handler owns its scratch space and its connections without a lock; what
//! is shared is your `Arc`. A session's frames are handled in their order, one at a time, in every
//! topology. [`Group`] sends to many sessions at once, wherever they live, and [`Remote`] reaches
//! any session from any thread: its peer with bytes, its handler with messages of your own type
//! ([`Remote::tell`], [`Handler::on_message`]).
//!
//! # Where things are
//!
//! [`Server`] turns settings into a running server; [`Reactor`] is one thread's loop, with its
//! single step [`Reactor::turn`], and so are [`Acceptor`] and [`Worker`]; [`kernel::Kernel`] is the seam to the operating system, with
//! [`sys`] (Linux) and [`sim`] (a deterministic model, in which the same reactor runs your handler)
//! behind it; [`Limits`] holds every bound.
//!
//! # Your handler in the simulator
//!
//! The same reactor and the same handler run on a kernel that is only a model, where time is
//! virtual, bytes come in any pieces, and one number decides everything:
//!
//! ```
//! # use readyloop::{Context, Handler, Lines, Peer};
//! # struct Echo;
//! # impl Handler for Echo {
//! #     type Framer = Lines;
//! #     type Session = ();
//! #     fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Lines, ()) {
//! #         (Lines::new(1024), ())
//! #     }
//! #     fn on_frame(&mut self, _: &mut (), line: &[u8], context: &mut Context<'_>) {
//! #         context.send(line);
//! #         context.send(b"\n");
//! #     }
//! # }
//! use readyloop::sim::{Faults, Net};
//! use readyloop::{Limits, Reactor, Setup, Trigger};
//!
//! let faults = Faults { split: 500, delay: 300, short_writes: 300, ..Faults::none() };
//! let net = Net::new(17, Trigger::Edge, faults);
//! let kernel = net.kernel();
//! let setup = Setup::new(&kernel, vec![net.listener()], Limits::default());
//! let mut reactor = Reactor::new(kernel, setup, Echo)?;
//!
//! let client = net.connect(0);
//! client.send(b"hello\nworld\n");
//! net.settle(1_000, || assert!(reactor.turn().is_ok()));
//! assert_eq!(client.received(), b"hello\nworld\n");
//! # Ok::<(), readyloop::Error>(())
//! ```
//!
//! # What it is not
//!
//! An async runtime, a portability layer, a web framework.

pub mod framers;
pub mod id;
pub mod kernel;
pub mod sim;
pub mod sys;
pub mod wheel;

mod address;
mod asker;
mod buffer;
mod census;
mod clock;
mod close;
mod command;
mod context;
mod durations;
mod encoder;
mod error;
mod group;
mod handler;
mod host;
mod incident;
mod lanes;
mod letter;
mod limits;
mod listeners;
mod load;
mod mailbox;
mod members;
mod message;
#[cfg(all(loom, test))]
mod models;
mod names;
mod outbox;
mod page;
mod pool;
mod reactor;
mod readiness;
mod record;
mod recv;
mod report;
mod send;
mod server;
mod serving;
mod session;
mod sessions;
mod slab;
mod stats;
mod sync;
mod wake;

pub use address::{Address, Route};
pub use bytes::Bytes;
pub use clock::Now;
pub use close::{Blame, CloseReason};
pub use context::{Context, Peer};
pub use durations::Durations;
pub use encoder::{Encoder, Encoding, Header, HeaderBytes};
pub use error::{Errno, Error, Result};
pub use framers::{Framer, LengthPrefixed, Lines, Raw, Step};
pub use group::{Group, SlowMember};
pub use handler::Handler;
pub use host::{Host, Inline};
pub use id::SessionId;
pub use incident::Incident;
pub use lanes::{Lanes, Shared as LanesShared, Worker};
pub use limits::Limits;
pub use mailbox::Refused;
pub use reactor::{Acceptor, AcceptorSetup, Balance, Reactor, Remote, Setup};
pub use readiness::Trigger;
pub use report::Report;
pub use server::{Accepting, Builder, Server, Topology};
pub use stats::Stats;
pub use sys::{FdTables, KeepAlive, Poller, SocketOptions, stop_signals};
pub use wheel::TimerId;
