//! The simulator: kernels, a network and its clients in memory, all decided by one seed.
//!
//! The production reactor runs on [`Sim`] as it runs on Linux, so a server, with your own handler,
//! can be driven through every split, stall, stale event and reset that Linux allows, in
//! microseconds, and again with the same seed. A test holds the other side, the [`Net`]: it makes
//! callers, sends and reads their bytes, ends or resets them, and moves the clock.
//!
//! ```
//! use readyloop::kernel::{Accept, Interest, Io, Kernel, Trigger};
//! use readyloop::id::{SessionId, Token};
//! use readyloop::sim::{Faults, Net};
//!
//! let net = Net::new(7, Trigger::Level, Faults::none());
//! let (mut kernel, listener) = (net.kernel(), net.listener());
//! kernel.watch_listener(&listener, 0)?;
//!
//! let client = net.connect(0);
//! client.send(b"hello");
//! assert_eq!(kernel.wait(None)?, 1);
//! assert_eq!(kernel.ready(0).unwrap().token, Token::listener(0));
//! let Accept::Socket(socket, _address) = kernel.accept(&listener) else { panic!("nobody called") };
//! kernel.watch(&socket, Token::session(SessionId::new(0, 0, 1)), Interest::READ)?;
//!
//! assert_eq!(kernel.wait(None)?, 1);
//! let mut buffer = [0; 64];
//! assert_eq!(kernel.recv(&socket, &mut buffer), Io::Done(5));
//! assert_eq!(kernel.send(&socket, &buffer[..5]), Io::Done(5));
//! kernel.wait(None)?;
//! assert_eq!(client.received(), b"hello");
//! # Ok::<(), readyloop::Errno>(())
//! ```
//!
//! # What is modelled
//! - **Bytes.** What a side sends is in flight; waits move it on, and under faults also the moments
//!   between calls. Receive buffers have no bound; a send buffer holds its window and is
//!   drained while the client reads.
//! - **Ends.** FIN comes behind all bytes, and half-close works both ways. A reset leaves what has
//!   arrived to be read, then fails one call. A socket that is closed with unread bytes resets its
//!   peer, and so does one that gets bytes after it was closed: as on Linux, a reply can be lost by
//!   that.
//! - **Unix sockets.** A peer that closes hangs up both directions at once: what it wrote is still
//!   to be read, and there is no error ([`Net::connect_unix`]).
//! - **Urgent marks.** A read ends at one, though more has come (tcp(7), `MSG_OOB`).
//! - **Preambles.** A peer may have to say, and hear, something before it is connected, as in a TLS
//!   handshake ([`Client::begin_with`]); the kernel is then as one with a layer over it that does that.
//! - **Readiness.** Level and edge as in epoll(7). An edge is raised by an arrival, an end, an
//!   error, by room after a write that was short or would have blocked, and by what is ready when a
//!   socket is first watched.
//! - **Memory.** The kernel's may run out for one call or for a while ([`Net::lack_memory`]): such a call
//!   does nothing, and no event tells when there is some.
//! - **Time.** Virtual nanoseconds. A wait that has nothing to wait for jumps to its timeout, or to
//!   an earlier one at which another kernel's last wait was to end: no thread oversleeps because
//!   another one was stepped.
//! - **Threads.** As steps that the test interleaves: each reactor has a kernel of its own
//!   ([`Net::kernel`]) and is stepped by its turns, a worker by its steps. Clock, network, faults
//!   and descriptors are the process's: what one kernel has accepted, another may watch, read and
//!   close. Inside of a step nobody else acts, except at the moment that matters most: while a
//!   reactor sleeps ([`Net::while_asleep`]).
//!
//! Not modelled: packets, congestion, keep-alive, the cost of anything, and two threads inside of
//! their steps at once, as on two processors: what is shared without a kernel in between (a mailbox,
//! say) needs tests of its own. Everything here is used from one thread, except for the wakers.
//!
//! # Invariants
//! The same seed, faults and acts of the test give the same history, byte for byte and event for
//! event; [`Net::fingerprint`] tells whether they did.

mod calls;
mod client;
mod faults;
mod kernel;
mod link;
mod memory;
mod poller;
mod preamble;
mod reserve;
mod rng;
mod trace;
mod wait;
mod world;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::address::Address;
use crate::clock::Now;
use crate::error::Errno;
use crate::kernel::Trigger;
use wait::Hook;
use world::{Listening, World};

pub use calls::Calls;
pub use client::{Client, End};
pub use faults::Faults;
pub use kernel::{Sim, SimListener, SimSocket};
pub use memory::Need;
pub use preamble::{Leg, Preamble};
pub use rng::Rng;

/// The test's side of a simulated net: its callers, its clock, its faults, its counts. A handle;
/// clones are the same net.
#[derive(Clone)]
pub struct Net {
    world: Rc<RefCell<World>>,
    seed: u64,
}

impl Net {
    /// A net in which nothing has happened yet; `seed` decides everything that the test does not.
    ///
    /// # Panics
    /// When `faults.events_max` is 0.
    pub fn new(seed: u64, trigger: Trigger, faults: Faults) -> Net {
        Net { world: Rc::new(RefCell::new(World::new(seed, trigger, faults))), seed }
    }

    /// A new kernel of this net, for one reactor: its own interest list, ready list and waker.
    /// Handles on the same kernel are clones of what this returns: a reactor and its setup need the
    /// same one, or the reactor's mail would ring the bell of another.
    ///
    /// A kernel counts for [`Net::is_quiet`] as long as there is a handle on it.
    pub fn kernel(&self) -> Sim {
        Sim::new(self.world.clone())
    }

    /// A new listening socket, to be given to a reactor. The first one is number 0 for
    /// [`Net::connect`], the next one 1.
    pub fn listener(&self) -> SimListener {
        let mut world = self.world.borrow_mut();
        world.listeners.push(Listening::default());
        SimListener(world.listeners.len() - 1)
    }

    /// A new caller in a listener's backlog, with an address of its own. When the listener was
    /// closed, the caller is reset.
    ///
    /// # Panics
    /// When there was never a listener with this number.
    pub fn connect(&self, listener: usize) -> Client {
        let [.., high, low] = self.world.borrow().links_made().to_be_bytes();
        self.connect_from(listener, Ipv4Addr::new(10, 0, high, low).into())
    }

    /// As [`Net::connect`], over a Unix stream socket: without an address, and with a close that
    /// hangs up both directions at once ([`Client::close`]).
    ///
    /// # Panics
    /// As [`Net::connect`].
    pub fn connect_unix(&self, listener: usize) -> Client {
        self.caller(listener, Address::Unix(PathBuf::new()))
    }

    /// As [`Net::connect`], from this address; the port is chosen.
    ///
    /// # Panics
    /// As [`Net::connect`].
    pub fn connect_from(&self, listener: usize, ip: IpAddr) -> Client {
        let port = 1024 + (self.world.borrow().links_made() % 64_512) as u16;
        self.caller(listener, SocketAddr::new(ip, port).into())
    }

    fn caller(&self, listener: usize, address: Address) -> Client {
        let mut world = self.world.borrow_mut();
        assert!(listener < world.listeners.len(), "there is no listener {listener}");
        let link = world.call(listener, address);
        drop(world);
        Client::new(self.world.clone(), link)
    }

    /// Takes the next outbound connection that the server has begun and the test has not yet taken.
    /// The test is its remote server: it may [`Client::accept`], [`Client::refuse`], or never
    /// answer.
    pub fn dialled(&self) -> Option<Client> {
        let link = self.world.borrow_mut().dialled.pop_front()?;
        Some(Client::new(self.world.clone(), link))
    }

    /// The virtual time; a new net begins at [`Now::ZERO`].
    pub fn now(&self) -> Now {
        self.world.borrow().now
    }

    /// Lets time pass, while nothing moves on the network: as if the machine had slept.
    pub fn advance(&self, span: Duration) {
        let mut world = self.world.borrow_mut();
        world.now = world.now + span;
    }

    /// Whether a wait that has nothing to wait for leaves the time as it is, instead of jumping to its
    /// timeout: then only the test, and what is on its way, lets time pass.
    pub fn hold_clock(&self, held: bool) {
        self.world.borrow_mut().held = held;
    }

    /// What the server has called so far, on all kernels, also on those that are gone. For one
    /// kernel there is [`Sim::calls`].
    pub fn calls(&self) -> Calls {
        let world = self.world.borrow();
        world.pollers.iter().fold(Calls::default(), |calls, poller| calls + poller.calls())
    }

    /// Changes the faults from now on.
    ///
    /// # Panics
    /// When `faults.events_max` is 0.
    pub fn set_faults(&self, faults: Faults) {
        assert!(faults.events_max > 0, "Faults::events_max is 0: no event could ever be reported");
        self.world.borrow_mut().faults = faults;
    }

    /// Whether the server has nothing left to do until the test or the clock acts: nothing is in
    /// flight, nothing true is ready for any kernel, and each kernel's last wait was willing to
    /// sleep and found nothing, after the last wait of any kernel that did not. Kernels whose last
    /// handle was dropped do not count.
    ///
    /// What has no kernel, such as a worker, is the test's to ask; so is mail that the test itself
    /// left to a reactor after its last turn.
    pub fn is_quiet(&self) -> bool {
        self.world.borrow().is_quiet()
    }

    /// Calls `turn`, which steps every reactor, until [`Net::is_quiet`]. Meanwhile no wait jumps to its timeout, so that no
    /// timer fires only because everything else is done. Returns how many turns it took.
    ///
    /// A session that waits for kernel memory, and a listener that rests, wait for time to pass
    /// (`Faults::memory_short`, `rearm_refused`, `accept_exhausted`): then settle, [`Net::advance`], and settle again.
    ///
    /// # Panics
    /// When the net is not quiet after `turns_max` turns: the server spins, or it is starved.
    pub fn settle(&self, turns_max: usize, mut turn: impl FnMut()) -> usize {
        let held = std::mem::replace(&mut self.world.borrow_mut().held, true);
        for turns in 1..=turns_max {
            turn();
            if self.is_quiet() {
                self.world.borrow_mut().held = held;
                return turns;
            }
        }
        panic!("not quiet after {turns_max} turns: {self:?}");
    }

    /// How many of the server's sockets are open; listeners are not counted.
    pub fn open_sockets(&self) -> usize {
        self.world.borrow().open_sockets()
    }

    /// From now on the process can have so many sockets open (`RLIMIT_NOFILE`), accepted and dialled,
    /// beside the descriptor in reserve; those that are open stay open. One more fits while the
    /// reserve is given up.
    pub fn limit_descriptors(&self, sockets_max: usize) {
        self.world.borrow_mut().sockets_max = sockets_max;
    }

    /// The next `accepts` accepts find that the process is out of descriptors (`EMFILE`), whether
    /// a caller waits or not.
    pub fn refuse_descriptors(&self, accepts: usize) {
        self.world.borrow_mut().descriptors_missing = accepts;
    }

    /// Kernel memory for these needs is missing from now on, for this long: each such call fails, and
    /// does nothing.
    pub fn lack_memory(&self, needs: &[Need], span: Duration) {
        self.world.borrow_mut().lack_memory(needs, span);
    }

    /// From now on every wait of this kernel fails, as that of a poller that can no longer work.
    /// Kernels are numbered from 0, in the order in which they were made.
    ///
    /// # Panics
    /// When there was never a kernel with this number.
    pub fn fail_waits(&self, kernel: usize, errno: Errno) {
        self.world.borrow_mut().pollers[kernel].broken = Some(errno);
    }

    /// Asks the server to end, as `SIGTERM` does. Of all kernels, the one that was made first hears
    /// it, and nobody once that one is gone.
    ///
    /// # Panics
    /// When no kernel was made yet.
    pub fn signal(&self) {
        let mut world = self.world.borrow_mut();
        let first = world.pollers.first_mut().expect("a test makes a kernel before it signals one");
        first.signals += 1;
    }

    /// From now on `act` is called, once, in each wait that is willing to sleep and finds nothing
    /// ready: the reactor has announced its sleep, and `act` does what other threads do at that
    /// moment. Then the wait looks again, so that a wake by `act` ends the sleep. One that was lost
    /// shows: the wait sleeps on, which counts in [`Calls::asleep`] or moves the clock. Waits inside of `act`, by other reactors that it steps, do not call it again.
    ///
    /// `act` may use this net and its clients freely. It is kept by the net: if it holds handles on
    /// the net in turn, directly or through a reactor, neither is freed before [`Net::no_hook`].
    /// It replaces the `act` of an earlier call.
    pub fn while_asleep(&self, act: impl FnMut() + 'static) {
        let act: Hook = Rc::new(RefCell::new(act));
        let former = self.world.borrow_mut().hook.replace(act);
        // It may own handles that reach for the world when they are dropped: so not before now.
        drop(former);
    }

    /// From now on `act` is called whenever a kernel has given up the descriptor in reserve, before it
    /// accepts with it ([`Kernel::refuse`](crate::kernel::Kernel::refuse)): it does what other threads
    /// do at that moment. It may step another reactor of the same net, which then finds one descriptor
    /// more, or open something else by a lower [`Net::limit_descriptors`]. Refusals inside of `act` do
    /// not call it again.
    ///
    /// What holds for the `act` of [`Net::while_asleep`] and its handles holds for this one.
    pub fn while_refusing(&self, act: impl FnMut() + 'static) {
        let act: Hook = Rc::new(RefCell::new(act));
        let former = self.world.borrow_mut().refusal_hook.replace(act);
        drop(former);
    }

    /// Undoes [`Net::while_asleep`] and [`Net::while_refusing`].
    pub fn no_hook(&self) {
        let mut world = self.world.borrow_mut();
        let former = (world.hook.take(), world.refusal_hook.take());
        drop(world);
        drop(former);
    }

    /// From now on the history is written down, one event a line: what kernels are asked and answer, and
    /// what clients do. It is the same for the same history, on every machine.
    pub fn begin_trace(&self) {
        self.world.borrow_mut().trace = Some(Vec::new());
    }

    /// Adds a line of the test's own, if the history is written down.
    pub fn add_to_trace(&self, line: impl FnOnce() -> String) {
        self.world.borrow_mut().trace(line);
    }

    /// What was written down since [`Net::begin_trace`]; it ends here.
    pub fn end_trace(&self) -> Vec<String> {
        self.world.borrow_mut().trace.take().unwrap_or_default()
    }

    /// A number for the whole history of calls, events and times: equal for equal histories.
    pub fn fingerprint(&self) -> u64 {
        self.world.borrow().fingerprint
    }
}

impl fmt::Debug for Net {
    /// What a failed test must print to be run again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.calls();
        let world = self.world.borrow();
        f.debug_struct("Net")
            .field("seed", &self.seed)
            .field("trigger", &world.trigger)
            .field("faults", &world.faults)
            .field("calls", &calls)
            .finish_non_exhaustive()
    }
}
