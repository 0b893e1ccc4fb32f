//! Linux: the real side of the seam.
//!
//! Every call is one system call, and the answers are sorted into the seam's words here: `EINTR` is
//! tried again, `EAGAIN` is being blocked, an end is an end. Unsafe code is allowed in six files:
//! poll and select, which must be told descriptors by number; their common ground, whose list of
//! events must be sent to the thread that will wait; threads, where one may get a descriptor table of
//! its own; and outstanding and options, which ask for what rustix does not know.
//!
//! Thread contract: reactor-thread, but for the waker.

mod address;
mod epoll;
mod listener;
mod options;
mod outstanding;
mod poll;
mod poller;
mod reserve;
mod select;
mod signals;
#[cfg(test)]
mod tests;
pub(crate) mod threads;
mod wake;

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{Event, EventFlags};
use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno as RustixErrno, retry_on_intr};
use rustix::net::{
    self, AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags,
    SocketType, acceptfrom_with, getpeername, sendmsg, socket_with, sockopt,
};
use rustix::time::{ClockId, clock_gettime};

use crate::address::{Address, Route};
use crate::clock::Now;
use crate::error::{Errno, Error, Result};
use crate::id::Token;
use crate::kernel::{Accept, Connect, Farewell, Io, Kernel};
use crate::readiness::{Interest, Ready, Trigger};
use crate::wake::Wake;

use address::{own_address, plain, with_kernel_form};
use epoll::Epoll;
pub(crate) use listener::ListenOptions;
pub use listener::Listener;
pub use options::{KeepAlive, SocketOptions};
use poll::Poll;
pub use poller::Poller;
use poller::{InterestList, ReadyList, timespec};
pub(crate) use reserve::Reserve;
use select::Select;
use signals::Signals;
pub use signals::stop_signals;
pub use threads::FdTables;
pub use wake::Waker;

// A ready list's entry is handed out as the kernel wrote it.
const _: () = {
    assert!(EventFlags::IN.bits() == Ready::READABLE);
    assert!(EventFlags::PRI.bits() == Ready::URGENT);
    assert!(EventFlags::OUT.bits() == Ready::WRITABLE);
    assert!(EventFlags::ERR.bits() == Ready::ERROR);
    assert!(EventFlags::HUP.bits() == Ready::HANGUP);
    assert!(EventFlags::RDHUP.bits() == Ready::PEER_FINISHED);
};

/// The operating system, as one reactor sees it.
///
/// Only a server makes one, and only a reactor calls it. poll(2) and select(2) are told descriptors by
/// number, so a socket that is watched must not be closed but by `Kernel::close`; and a socket is no
/// more than an `OwnedFd`, which anybody who has one may drop. So nobody is given any.
///
/// ```compile_fail,E0624
/// use readyloop::sys::{Linux, Waker};
/// use readyloop::{Poller, SocketOptions, Trigger};
///
/// fn make(waker: std::sync::Arc<Waker>) -> Linux {
///     let options = SocketOptions::default();
///     Linux::new(Poller::Poll, Trigger::Level, 64, waker, options, panic!()).unwrap()
/// }
/// ```
pub struct Linux {
    poller: Box<dyn InterestList + Send>,
    trigger: Trigger,
    ready: ReadyList,
    waker: Arc<Waker>,
    signals: Option<Signals>,
    options: SocketOptions,
    /// Of the table in which this kernel's sockets lie.
    reserve: Arc<Reserve>,
}

impl Linux {
    /// A poller and who wakes it. A wait reports at most `events_max` events. `reserve` is that of this
    /// thread's descriptor table.
    ///
    /// # Errors
    /// Edge trigger with a poller that has none; descriptors that have run out.
    pub(crate) fn new(
        poller: Poller,
        trigger: Trigger,
        events_max: usize,
        waker: Arc<Waker>,
        options: SocketOptions,
        reserve: Arc<Reserve>,
    ) -> Result<Linux> {
        check_trigger(poller, trigger)?;
        let make = || -> rustix::io::Result<Linux> {
            let mut list: Box<dyn InterestList + Send> = match poller {
                Poller::Epoll => Box::new(Epoll::new(trigger)?),
                Poller::Poll => Box::new(Poll::default()),
                Poller::Select => Box::new(Select::default()),
            };
            list.add(waker.as_fd(), Token::WAKER, Interest::READ)?;
            let ready = ReadyList(Vec::with_capacity(events_max));
            Ok(Linux { poller: list, trigger, ready, waker, signals: None, options, reserve })
        };
        make().map_err(|errno| {
            Error::system(format!("making a poller ({poller})"), plain_errno(errno))
        })
    }

    /// For other kernels with the same descriptor table.
    pub(crate) fn reserve(&self) -> Arc<Reserve> {
        self.reserve.clone()
    }

    /// From now on the [`stop_signals`] arrive as [`Token::SIGNALS`] and no longer end the process.
    ///
    /// # Errors
    /// Descriptors that have run out.
    pub(crate) fn catch_signals(&mut self) -> Result<()> {
        let catching = |errno| Error::system("catching signals", errno);
        let signals = Signals::catch()
            .map_err(|error| catching(Errno(error.raw_os_error().unwrap_or_default())))?;
        self.poller
            .add(signals.as_fd(), Token::SIGNALS, Interest::READ)
            .map_err(|errno| catching(plain_errno(errno)))?;
        self.signals = Some(signals);
        Ok(())
    }
}

/// Whether the poller can tell in this way.
///
/// # Errors
/// Edge trigger with a poller that has none.
pub(crate) fn check_trigger(poller: Poller, trigger: Trigger) -> Result<()> {
    if trigger == Trigger::Edge && poller != Poller::Epoll {
        return Err(Error::settings(format!(
            "{poller} knows no edge trigger; use level, or the poller epoll"
        )));
    }
    Ok(())
}

/// How long to wait before the next wait that may find memory.
const NO_MEMORY_PAUSE: Duration = Duration::from_millis(10);

const ACCEPT_FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// Whether a caller waits.
fn is_called(listener: &Listener) -> bool {
    let mut fds = [PollFd::new(listener, PollFlags::IN)];
    let count =
        retry_on_intr(|| rustix::event::poll(&mut fds, timespec(Some(Duration::ZERO)).as_ref()));
    count.is_ok_and(|count| count > 0)
}

#[inline]
fn plain_errno(errno: RustixErrno) -> Errno {
    Errno(errno.raw_os_error())
}

/// Sorts the answer of a write.
#[inline]
fn moved(outcome: rustix::io::Result<usize>) -> Io {
    match outcome {
        Ok(count) => Io::Done(count),
        Err(RustixErrno::AGAIN) => Io::WouldBlock,
        Err(errno @ (RustixErrno::NOMEM | RustixErrno::NOBUFS)) => {
            Io::Exhausted(plain_errno(errno))
        }
        Err(errno) => Io::Failed(plain_errno(errno)),
    }
}

/// Sorts the answer of a read, where moving nothing is the end.
#[inline]
fn received<R>(outcome: rustix::io::Result<(R, usize)>) -> Io {
    match outcome {
        Ok((_, 0)) => Io::Finished,
        other => moved(other.map(|(_, count)| count)),
    }
}

/// Begins to connect. A call that was interrupted may have begun it (connect(2)); asked again, the
/// kernel says so.
fn begin(connect: impl FnMut() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    match retry_on_intr(connect) {
        Ok(()) | Err(RustixErrno::INPROGRESS | RustixErrno::ALREADY | RustixErrno::ISCONN) => {
            Ok(())
        }
        Err(errno) => Err(errno),
    }
}

impl Kernel for Linux {
    type Socket = OwnedFd;
    type Listener = Listener;

    #[inline]
    fn now(&mut self) -> Now {
        let time = clock_gettime(ClockId::Monotonic);
        Now::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    fn trigger(&self) -> Trigger {
        self.trigger
    }

    #[inline]
    fn wait(&mut self, timeout: Option<Duration>) -> std::result::Result<usize, Errno> {
        let ReadyList(ready) = &mut self.ready;
        ready.clear();
        let most = ready.capacity();
        loop {
            match self.poller.wait(ready, most, timeout) {
                Ok(()) => return Ok(ready.len()),
                // With a timeout, how long is left to sleep is the caller's to say.
                Err(RustixErrno::INTR) if timeout.is_none() => {}
                Err(RustixErrno::INTR) => return Ok(0),
                Err(RustixErrno::NOMEM) => {
                    // poll(2) and select(2) want memory for each wait. Nobody is told of anything until
                    // there is some, and without a pause that would be a spin.
                    std::thread::sleep(NO_MEMORY_PAUSE.min(timeout.unwrap_or(NO_MEMORY_PAUSE)));
                    return Ok(0);
                }
                Err(errno) => return Err(plain_errno(errno)),
            }
        }
    }

    #[inline]
    fn ready(&self, nth: usize) -> Option<Ready> {
        let Event { flags, data, .. } = *self.ready.0.get(nth)?;
        Some(Ready { token: Token::from_bits(data.u64()), flags: flags.bits() })
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.waker.clone()
    }

    fn waker_seen(&mut self) {
        if !self.poller.tells_wakes_once() {
            self.waker.clear();
        }
    }

    fn signals_seen(&mut self) -> usize {
        self.signals.as_ref().map_or(0, Signals::take)
    }

    fn watch_listener(
        &mut self,
        listener: &Listener,
        number: usize,
    ) -> std::result::Result<(), Errno> {
        let token = Token::listener(number);
        self.poller.add(listener.as_fd(), token, Interest::READ).map_err(plain_errno)
    }

    fn rest_listener(
        &mut self,
        listener: &Listener,
        number: usize,
        rest: bool,
    ) -> std::result::Result<(), Errno> {
        if self.trigger == Trigger::Edge {
            return Ok(());
        }
        let (fd, token) = (listener.as_fd(), Token::listener(number));
        let want = if rest { Interest::NONE } else { Interest::READ };
        match self.poller.modify(fd, token, want) {
            // For want of memory, of which this needs none.
            Err(_) if rest => self.poller.forget(fd),
            Err(RustixErrno::NOENT) => self.poller.add(fd, token, want).map_err(plain_errno)?,
            other => other.map_err(plain_errno)?,
        }
        Ok(())
    }

    fn accept(&mut self, listener: &Listener) -> Accept<OwnedFd> {
        match retry_on_intr(|| acceptfrom_with(listener, ACCEPT_FLAGS)) {
            Ok((socket, address)) => {
                let address = plain(address);
                if let Address::Unix(_) = address {
                    // It inherits nothing; without them it has the buffers that all sockets have.
                    let _as_usual = self.options.give_buffers(&socket);
                }
                Accept::Socket(socket, address)
            }
            Err(RustixErrno::AGAIN) => Accept::Empty,
            // accept(2), "Error handling": what went wrong with the caller's connection is told
            // here, and concerns the caller alone.
            Err(
                errno @ (RustixErrno::CONNABORTED
                | RustixErrno::PROTO
                | RustixErrno::PERM
                | RustixErrno::NETDOWN
                | RustixErrno::NOPROTOOPT
                | RustixErrno::HOSTDOWN
                | RustixErrno::NONET
                | RustixErrno::HOSTUNREACH
                | RustixErrno::OPNOTSUPP
                | RustixErrno::NETUNREACH),
            ) => Accept::Skipped(plain_errno(errno)),
            // EMFILE, ENFILE, ENOBUFS, ENOMEM, and whatever else may come: a rest cures it or costs
            // little.
            Err(errno) => Accept::Exhausted(plain_errno(errno)),
        }
    }

    fn refuse(&mut self, listener: &Listener) -> bool {
        // Not for nobody: each time that it is given up it may be lost.
        is_called(listener)
            && self
                .reserve
                .give_up(|| retry_on_intr(|| acceptfrom_with(listener, ACCEPT_FLAGS)).is_ok())
    }

    fn regain_reserve(&mut self) -> std::result::Result<(), Errno> {
        self.reserve.regain().map_err(plain_errno)
    }

    fn close_listener(&mut self, listener: Listener) {
        self.poller.remove(listener.as_fd());
        drop(listener);
    }

    fn connect(&mut self, route: &Route) -> std::result::Result<OwnedFd, Errno> {
        let dial = || -> rustix::io::Result<OwnedFd> {
            let family = match &route.to {
                Address::Tcp(tcp) if tcp.is_ipv4() => AddressFamily::INET,
                Address::Tcp(_) => AddressFamily::INET6,
                Address::Unix(_) => AddressFamily::UNIX,
            };
            let stream = || socket_with(family, SocketType::STREAM, ACCEPT_FLAGS, None);
            let socket = retry_on_intr(stream)?;
            match family {
                AddressFamily::UNIX => self.options.give_buffers(&socket)?,
                _ => self.options.give_tcp(&socket)?,
            }
            if let Some(ip) = route.from {
                retry_on_intr(|| net::bind(&socket, &SocketAddr::new(ip, 0)))?;
            }
            with_kernel_form(
                &route.to,
                |tcp| begin(|| net::connect(&socket, tcp)),
                |unix| begin(|| net::connect(&socket, unix)),
            )?;
            Ok(socket)
        };
        dial().map_err(plain_errno)
    }

    #[inline(always)]
    fn preamble(&self, _socket: &OwnedFd) -> Option<Interest> {
        None
    }

    fn connected(&mut self, socket: &OwnedFd) -> Connect {
        if let Some(errno) = self.take_error(socket) {
            return Connect::Failed(errno);
        }
        match retry_on_intr(|| getpeername(socket)) {
            // Nobody listens there: the kernel took the port that we dialled for our own end, and
            // TCP lets a socket meet itself (RFC 9293, section 3.5, simultaneous open).
            Ok(peer @ Some(_)) if own_address(socket) == peer => {
                Connect::Failed(Errno::CONNREFUSED)
            }
            Ok(_) => Connect::Done(None),
            Err(RustixErrno::NOTCONN) => Connect::Pending(Interest::WRITE),
            Err(errno) => Connect::Failed(plain_errno(errno)),
        }
    }

    fn watch(
        &mut self,
        socket: &OwnedFd,
        token: Token,
        want: Interest,
    ) -> std::result::Result<(), Errno> {
        self.poller.add(socket.as_fd(), token, want).map_err(plain_errno)
    }

    fn rearm(
        &mut self,
        socket: &OwnedFd,
        token: Token,
        want: Interest,
    ) -> std::result::Result<(), Errno> {
        debug_assert!(self.trigger == Trigger::Level);
        self.poller.modify(socket.as_fd(), token, want).map_err(plain_errno)
    }

    fn unwatch(&mut self, socket: &OwnedFd) {
        self.poller.forget(socket.as_fd());
    }

    fn outstanding(&mut self, socket: &OwnedFd) -> usize {
        outstanding::bytes(socket.as_fd())
    }

    #[inline]
    fn recv(&mut self, socket: &OwnedFd, into: &mut [u8]) -> Io {
        debug_assert!(!into.is_empty());
        received(retry_on_intr(|| net::recv(socket, &mut *into, RecvFlags::empty())))
    }

    fn recv_spare(&mut self, socket: &OwnedFd, into: &mut Vec<u8>) -> Io {
        debug_assert!(into.capacity() > into.len());
        received(retry_on_intr(|| net::recv(socket, spare_capacity(into), RecvFlags::empty())))
    }

    #[inline]
    fn send(&mut self, socket: &OwnedFd, bytes: &[u8]) -> Io {
        debug_assert!(!bytes.is_empty());
        moved(retry_on_intr(|| net::send(socket, bytes, SendFlags::NOSIGNAL)))
    }

    fn send_vectored(&mut self, socket: &OwnedFd, runs: &[IoSlice<'_>]) -> Io {
        let mut none = SendAncillaryBuffer::default();
        moved(retry_on_intr(|| sendmsg(socket, runs, &mut none, SendFlags::NOSIGNAL)))
    }

    fn finish(&mut self, socket: &OwnedFd) {
        // ENOTCONN: the peer was faster; the next read says so.
        let _already_over = retry_on_intr(|| net::shutdown(socket, Shutdown::Write));
    }

    fn take_error(&mut self, socket: &OwnedFd) -> Option<Errno> {
        match retry_on_intr(|| sockopt::socket_error(socket)) {
            Ok(Ok(())) => None,
            Ok(Err(errno)) | Err(errno) => Some(plain_errno(errno)),
        }
    }

    fn close(&mut self, socket: OwnedFd, how: Farewell) {
        self.poller.remove(socket.as_fd());
        if how == Farewell::Reset {
            // With a linger time of zero, close(2) resets the connection (socket(7), SO_LINGER).
            let linger = || sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
            let _not_tcp = retry_on_intr(linger);
        }
        // Not again after EINTR: Linux has closed it then (close(2)), and another thread may have its
        // number.
        drop(socket);
    }
}
