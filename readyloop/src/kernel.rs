//! The seam: the only door to the operating system. `sys` (Linux) and `sim` are its two sides.
//!
//! The verbs are as few as a reactor needs, and none of them blocks but [`Kernel::wait`]. Every fd,
//! flag and errno that means nothing to a session stays behind the seam; so do `EINTR` and the
//! difference between epoll, poll and select.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use crate::address::{Address, Route};
use crate::clock::Now;
use crate::error::Errno;
use crate::id::Token;
pub use crate::readiness::{Interest, Ready, Trigger};
pub use crate::wake::Wake;

/// What became of a read or a write. Being blocked is not an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Io {
    /// That many bytes were moved; at least one.
    Done(usize),
    /// `EAGAIN`: nothing can be moved now.
    WouldBlock,
    /// A read found the end of the peer's stream.
    Finished,
    /// Memory is missing (`ENOMEM`, `ENOBUFS`): nothing was moved, and the same call may succeed later.
    /// The poller does not tell when.
    Exhausted(Errno),
    /// The connection is broken.
    Failed(Errno),
}

/// What became of an accept.
#[derive(Debug)]
pub enum Accept<S> {
    /// A caller: non-blocking, close-on-exec, with the socket options that were asked for. Whether it is
    /// a session at once, [`Kernel::preamble`] says.
    Socket(S, Address),
    /// No caller waits.
    Empty,
    /// A caller was lost or forbidden before it was accepted (`ECONNABORTED`, `EPROTO`, `EPERM`,
    /// …); try the next one.
    Skipped(Errno),
    /// A descriptor, or memory, is missing (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`), whether a caller
    /// waits or not. Whoever waits stays in the backlog.
    Exhausted(Errno),
}

/// What has become of a socket that is not connected yet: one that was dialled, or one that was
/// accepted and has a preamble to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Connect {
    /// Not yet: ask again when the socket is ready for this. Under [`Trigger::Edge`] nothing may be
    /// left of an earlier edge, so only after a call that would have blocked.
    Pending(Interest),
    /// It is connected. With the peer's address, where the peer has told another one than the socket
    /// has (the header of a proxy).
    Done(Option<Address>),
    /// The peer has ended its stream before.
    Finished,
    /// The connection is broken, or was never made.
    Failed(Errno),
    /// What the peer has said is not what it must be.
    Refused(&'static str),
}

/// How a socket is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Farewell {
    /// What was written is delivered, then the stream ends (FIN).
    Finish,
    /// The peer is told that bytes are missing (RST): a cut stream never looks like a whole one.
    Reset,
}

/// The operating system, as far as a reactor sees it. Reactor-thread only.
///
/// The ready list of a wait is read back by position ([`Kernel::ready`]), so that no event is
/// copied into a second list. Registered sockets are reported by their token; closing a socket
/// removes it from the interest list, though an event that is already in the ready list stays
/// there.
pub trait Kernel {
    /// A connected, or connecting, stream.
    type Socket: Send;
    /// A listening socket.
    type Listener: Send;

    /// The monotonic clock.
    fn now(&mut self) -> Now;

    /// Fixed for the kernel's life. Under [`Trigger::Edge`] a socket is registered once for
    /// everything, and `rearm` is never called.
    fn trigger(&self) -> Trigger;

    /// Sleeps until something is ready or `timeout` has passed; `None` is for ever. Returns the
    /// length of the ready list, which is bounded, and 0 also when a signal interrupted the sleep.
    /// A timeout is rounded up to the poller's resolution.
    ///
    /// # Errors
    /// Only for a poller that can no longer work at all.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<usize, Errno>;

    /// Entry `nth` of the last wait's ready list; `None` behind its end.
    fn ready(&self, nth: usize) -> Option<Ready>;

    /// The handle that wakes this kernel's `wait` from other threads.
    fn waker(&self) -> Arc<dyn Wake>;

    /// Takes notice of [`Token::WAKER`], so that it is not reported again for the same wake.
    fn waker_seen(&mut self);

    /// How many times the process was asked to end since the last call ([`Token::SIGNALS`]).
    fn signals_seen(&mut self) -> usize;

    /// Watches a listener for callers, under [`Token::listener`]`(number)`.
    ///
    /// # Errors
    /// The poller's: `ENOSPC`, `ENOMEM`.
    fn watch_listener(&mut self, listener: &Self::Listener, number: usize) -> Result<(), Errno>;

    /// Stops reporting callers while the listener rests, or starts again. Does nothing under edge.
    ///
    /// # Errors
    /// The poller's, if it is to start again: `ENOSPC`, `ENOMEM`. Nothing is reported then.
    fn rest_listener(
        &mut self,
        listener: &Self::Listener,
        number: usize,
        rest: bool,
    ) -> Result<(), Errno>;

    /// Takes one caller.
    fn accept(&mut self, listener: &Self::Listener) -> Accept<Self::Socket>;

    /// Hangs up on the first caller in the backlog, with a descriptor that is kept in reserve for the
    /// moment in which [`Kernel::accept`] finds none. `false` if nobody waits, or the reserve is
    /// missing too: another thread may take its descriptor when it is given up, before the accept.
    fn refuse(&mut self, listener: &Self::Listener) -> bool;

    /// Opens the reserve again if it is missing. The kernels of a server that share a descriptor table
    /// have one reserve in common, so whichever finds a descriptor first regains it for all.
    ///
    /// # Errors
    /// There is still no descriptor for it: `EMFILE`, `ENFILE`, `ENOMEM`. It is missing then.
    fn regain_reserve(&mut self) -> Result<(), Errno>;

    /// Keeps a new socket if there is a reserve beside it. Otherwise the socket may have the very
    /// descriptor that another thread had given up to refuse a caller, and all who would be refused
    /// with it would wait for as long as this one lives: so it is closed, and the reserve regained.
    ///
    /// # Errors
    /// As [`Kernel::regain_reserve`] said.
    fn keep_beside_reserve(&mut self, socket: Self::Socket) -> Result<Self::Socket, Errno> {
        let Err(errno) = self.regain_reserve() else { return Ok(socket) };
        self.close(socket, Farewell::Finish);
        // If another thread has been faster, the next who wants a descriptor tries again.
        let _missing = self.regain_reserve();
        Err(errno)
    }

    /// Ends a listener; callers in its backlog are reset by the kernel.
    fn close_listener(&mut self, listener: Self::Listener);

    /// Begins to connect. The socket becomes writable when the outcome is known.
    ///
    /// # Errors
    /// When the attempt fails at once.
    fn connect(&mut self, route: &Route) -> Result<Self::Socket, Errno>;

    /// What an accepted socket is watched for before it is connected, or `None` if it has no preamble
    /// to run (a TLS handshake, the header of a proxy) and is a session at once. A plain fact: the same
    /// for each kernel of a server, until [`Kernel::connected`] has said that it is done. Where it is
    /// always `None`, nobody pays for asking.
    fn preamble(&self, socket: &Self::Socket) -> Option<Interest>;

    /// Runs what must come before a session as far as it can be run now. Asked whenever the socket, of
    /// which nothing was read or written before, is ready or is said to be; by the kernel that watches
    /// it, until the answer is another one than [`Connect::Pending`]. Bytes that came behind the
    /// preamble and were read with it are announced by `wait`, also if the socket is watched anew.
    ///
    /// Without a preamble it is the outcome of a connect (`SO_ERROR`): `ECONNREFUSED` also when nobody
    /// listens and the connection leads back to its own socket.
    fn connected(&mut self, socket: &Self::Socket) -> Connect;

    /// Begins to watch a socket under `token`.
    ///
    /// # Errors
    /// The poller's: `ENOSPC`, `ENOMEM`, or `EINVAL` for a descriptor beyond what select(2) can
    /// carry.
    fn watch(&mut self, socket: &Self::Socket, token: Token, want: Interest) -> Result<(), Errno>;

    /// Changes what a watched socket is watched for. Never called under edge.
    ///
    /// # Errors
    /// The poller's: `ENOMEM`.
    fn rearm(&mut self, socket: &Self::Socket, token: Token, want: Interest) -> Result<(), Errno>;

    /// Stops watching a socket, also for errors and hang-ups. For one whose hang-up cannot be acted on
    /// yet, which under level would be reported in every wait; and, under both, for one that is over a
    /// limit when its preamble is done: it is watched anew when it is let in.
    fn unwatch(&mut self, socket: &Self::Socket);

    /// How many bytes were written and not taken by the peer's kernel (`SIOCOUTQ`, tcp(7)).
    fn outstanding(&mut self, socket: &Self::Socket) -> usize;

    /// Reads into `into`, which must not be empty: an empty read would look like the peer's end.
    fn recv(&mut self, socket: &Self::Socket, into: &mut [u8]) -> Io;

    /// Reads to the end of `into`, whose spare capacity must not be empty: straight into place,
    /// without zeroing it first.
    fn recv_spare(&mut self, socket: &Self::Socket, into: &mut Vec<u8>) -> Io;

    /// Writes one run of bytes, which must not be empty. Never raises `SIGPIPE`.
    fn send(&mut self, socket: &Self::Socket, bytes: &[u8]) -> Io;

    /// Writes several runs in one call (at most 1,024, `IOV_MAX`). Never raises `SIGPIPE`.
    fn send_vectored(&mut self, socket: &Self::Socket, runs: &[IoSlice<'_>]) -> Io;

    /// Ends our direction of the stream after what was written (`SHUT_WR`).
    fn finish(&mut self, socket: &Self::Socket);

    /// Takes the pending error of a socket (`SO_ERROR`).
    fn take_error(&mut self, socket: &Self::Socket) -> Option<Errno>;

    /// Closes a socket and forgets its registration.
    fn close(&mut self, socket: Self::Socket, how: Farewell);
}
