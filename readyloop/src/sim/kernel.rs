//! The server's side of the model: a `Kernel` for each of its reactors, over one simulated net.
//!
//! It is also a checker. Whatever the seam forbids, or no sane reactor would ask, panics here with
//! the name of the rule, where Linux would carry on with a wrong answer.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::calls::Calls;
use super::link::{Link, ServerEnd, Stage};
use super::memory::Need;
use super::poller::Watch;
use super::trace;
use super::wait::Begun;
use super::world::{World, raise};
use crate::address::Route;
use crate::clock::Now;
use crate::error::Errno;
use crate::id::Token;
use crate::kernel::{Accept, Connect, Farewell, Interest, Io, Kernel, Ready, Trigger, Wake};

/// The most runs that one vectored write carries (`IOV_MAX`).
const RUNS_MAX: usize = 1024;

const ENETUNREACH: Errno = Errno(101);
const ENOTCONN: Errno = Errno(107);
const EPROTO: Errno = Errno(71);

/// A model kernel, to be given to a reactor. Made by [`Net::kernel`](super::Net::kernel). A handle;
/// clones are the same kernel, with one interest list, one ready list and one waker. With the last
/// of them the kernel is gone, and what it watched is no longer watched.
///
/// # Panics
/// Its methods panic when their caller breaks a rule of [`Kernel`]; the message names the rule.
#[derive(Clone)]
pub struct Sim(Rc<Seat>);

/// One kernel's seat in its world.
struct Seat {
    world: Rc<RefCell<World>>,
    kernel: usize,
}

impl Drop for Seat {
    fn drop(&mut self) {
        // While a panic unwinds the world may be borrowed, and then nobody asks any more.
        if let Ok(mut world) = self.world.try_borrow_mut() {
            world.remove_kernel(self.kernel);
        }
    }
}

/// A server's socket: an index that is reused lowest first, as fds are. It cannot be copied, so
/// a socket that was closed cannot be named again.
#[derive(Debug)]
pub struct SimSocket {
    pub(super) index: u32,
    /// Not part of the name: shows that this is the same socket as when it was opened.
    pub(super) link: u64,
}

/// A listening socket. Made by [`Net::listener`](super::Net::listener).
#[derive(Debug)]
pub struct SimListener(pub(super) usize);

impl Sim {
    pub(super) fn new(world: Rc<RefCell<World>>) -> Sim {
        let kernel = world.borrow_mut().add_kernel();
        Sim(Rc::new(Seat { world, kernel }))
    }

    /// What was called on this kernel so far, and how often its waker was written to.
    pub fn calls(&self) -> Calls {
        self.0.world.borrow().pollers[self.0.kernel].calls()
    }

    /// The world, in which this kernel acts from now on.
    pub(super) fn world(&self) -> RefMut<'_, World> {
        let mut world = self.0.world.borrow_mut();
        world.switch_to(self.0.kernel);
        world
    }

    /// As [`Sim::world`], for a call that counts.
    fn call(&self, count: impl FnOnce(&mut Calls) -> &mut u64) -> RefMut<'_, World> {
        let mut world = self.world();
        *count(&mut world.pollers[self.0.kernel].counts) += 1;
        world
    }

    /// Writes a call down, if anybody wants that.
    fn trace(&self, line: impl FnOnce() -> String) {
        self.world().trace_call(line);
    }

    /// Sleeps. The test's hook comes first, as nobody may hold the world while it runs.
    fn sleep(&self, due: Option<Now>) {
        let kernel = self.0.kernel;
        let hook = self.world().begin_hook(kernel);
        if let Some(act) = hook {
            (act.borrow_mut())();
            let mut world = self.world();
            world.end_hook(kernel);
            if world.look(kernel, due) {
                return;
            }
        }
        self.world().sleep(kernel, due);
    }

    fn try_rest(&self, listener: &SimListener, number: usize, rest: bool) -> Result<(), Errno> {
        let world = &mut *self.world();
        let is_level = world.trigger == Trigger::Level;
        let lacks = if is_level && !rest { world.lacks_memory(Need::Rearm) } else { None };
        let watch = own(&mut world.listeners[listener.0].watch, self.0.kernel);
        let Some(watch) = watch else {
            panic!("{listener:?} is to rest, but it is not watched by this kernel");
        };
        assert!(watch.token == Token::listener(number), "{listener:?} has another number");
        if !is_level {
            return Ok(());
        }
        if let Some(errno) = lacks {
            return Err(errno);
        }
        watch.want = if rest { Interest::NONE } else { Interest::READ };
        world.pollers[self.0.kernel].counts.rearms += 1;
        Ok(())
    }

    fn try_connect(&self, route: &Route) -> Result<SimSocket, Errno> {
        let mut world = self.call(|calls| &mut calls.connects);
        if world.chance(|faults| faults.connect_refused) {
            return Err(ENETUNREACH);
        }
        if world.is_out_of_descriptors() {
            return Err(Errno::MFILE);
        }
        if let Some(errno) = world.lacks_memory(Need::Connect) {
            return Err(errno);
        }
        // The link must know its socket, and the socket its link: the link's number is the next
        // one.
        let link = world.links_made();
        let index = world.add_socket(link);
        world.add_link(route.to.clone(), ServerEnd::Open(index));
        world.dialled.push_back(link);
        world.note('c', u64::from(index));
        Ok(SimSocket { index, link })
    }

    fn try_connected(&self, socket: &SimSocket) -> Connect {
        let mut world = self.call(|calls| &mut calls.errors);
        let link = world.enter('?', socket);
        if link.has_layer() && link.is_connected() {
            assert!(link.preamble().is_some(), "{socket:?} is asked, and has answered already");
            let watched = own(world.watch_of(socket), self.0.kernel).is_some();
            assert!(watched, "{socket:?} is asked by a kernel that does not watch it");
            return world.run_preamble(socket);
        }
        match link.error.take() {
            Some(errno) => Connect::Failed(errno),
            None if link.is_torn() => Connect::Failed(ENOTCONN),
            None if link.is_connected() => Connect::Done(None),
            None => Connect::Pending(Interest::WRITE),
        }
    }

    fn try_watch(&self, socket: &SimSocket, token: Token, want: Interest) -> Result<(), Errno> {
        let mut world = self.call(|calls| &mut calls.watches);
        let readiness = world.enter('w', socket).readiness();
        assert_free(world.watch_of(socket), socket);
        if world.chance(|faults| faults.watch_refused) {
            return Err([Errno::NOSPC, Errno::NOMEM][world.rng.below(2)]);
        }
        if let Some(errno) = world.lacks_memory(Need::Watch) {
            return Err(errno);
        }
        let want = if world.trigger == Trigger::Edge { Interest::BOTH } else { want };
        // ep_insert: what is ready at this moment counts as an edge.
        let (kernel, edge) = (self.0.kernel, readiness != 0);
        *world.watch_of(socket) = Some(Watch { kernel, token, want, edge });
        Ok(())
    }

    fn try_rearm(&self, socket: &SimSocket, token: Token, want: Interest) -> Result<(), Errno> {
        let mut world = self.call(|calls| &mut calls.rearms);
        world.enter('m', socket);
        assert!(world.trigger == Trigger::Level, "{socket:?} is rearmed under edge");
        if world.chance(|faults| faults.rearm_refused) {
            return Err(Errno::NOMEM);
        }
        if let Some(errno) = world.lacks_memory(Need::Rearm) {
            return Err(errno);
        }
        let Some(watch) = own(world.watch_of(socket), self.0.kernel) else {
            panic!("{socket:?} is rearmed, but it is not watched by this kernel");
        };
        assert!(watch.token == token, "{socket:?} is watched under another token");
        assert!(watch.want != want, "{socket:?} is rearmed to what it has: a call for nothing");
        watch.want = want;
        Ok(())
    }
}

impl World {
    /// The link behind a socket, after `call` was noted.
    fn enter(&mut self, call: char, socket: &SimSocket) -> &mut Link {
        self.note(call, u64::from(socket.index));
        let known = self.sockets.get(socket.index as usize).and_then(Option::as_ref);
        assert!(
            known.is_some_and(|known| known.link == socket.link),
            "{socket:?} is not open: it was closed, or it belongs to another net"
        );
        self.link(socket.link)
    }

    fn note_io(&mut self, io: Io) -> Io {
        let fact = match io {
            Io::Done(bytes) => bytes as u64,
            Io::WouldBlock => 1 << 32,
            Io::Finished => 1 << 33,
            Io::Exhausted(errno) => 1 << 35 | u64::from(errno.0.unsigned_abs()),
            Io::Failed(errno) => 1 << 34 | u64::from(errno.0.unsigned_abs()),
        };
        self.note('=', fact);
        io
    }

    fn recv(&mut self, socket: &SimSocket, room: usize, take: impl FnMut(&[u8])) -> Io {
        let io = self.read(socket, room, take);
        self.trace_call(|| format!("recv s{} = {}", socket.index, trace::io(io)));
        io
    }

    fn read(&mut self, socket: &SimSocket, room: usize, take: impl FnMut(&[u8])) -> Io {
        assert!(room > 0, "{socket:?}: a read into nothing would look like the peer's end");
        self.meanwhile();
        if let Some(errno) = self.lacks_memory(Need::Recv) {
            self.enter('r', socket);
            return self.note_io(Io::Exhausted(errno));
        }
        let short = self.trigger == Trigger::Level && self.chance(|faults| faults.short_reads);
        let asked = if short { self.rng.piece(room) } else { room };
        let link = self.enter('r', socket);
        assert!(link.preamble().is_none(), "{socket:?} is read before it is connected");
        let announced = link.keeps_bytes();
        let io = link.read(asked, take);
        let server = link.server;
        if announced {
            // There may be more of them, or some below.
            raise(&mut self.sockets, server);
        }
        self.note_io(io)
    }

    fn send(&mut self, socket: &SimSocket, runs: &[&[u8]]) -> Io {
        assert!(runs.len() <= RUNS_MAX, "{socket:?}: {} runs in one write (IOV_MAX)", runs.len());
        let bytes: usize = runs.iter().map(|run| run.len()).sum();
        assert!(bytes > 0, "{socket:?}: a write of nothing");
        let io = self.write(socket, runs, bytes);
        self.trace_call(|| format!("send s{} {bytes} = {}", socket.index, trace::io(io)));
        io
    }

    fn write(&mut self, socket: &SimSocket, runs: &[&[u8]], bytes: usize) -> Io {
        self.meanwhile();
        if let Some(errno) = self.lacks_memory(Need::Send) {
            self.enter('s', socket);
            return self.note_io(Io::Exhausted(errno));
        }
        let short = self.chance(|faults| faults.short_writes);
        let allowed = if short { self.rng.piece(bytes + 1) - 1 } else { bytes };
        let link = self.enter('s', socket);
        assert!(link.preamble().is_none(), "{socket:?} is written before it is connected");
        assert!(
            link.to_client.end == Stage::Open || link.is_torn(),
            "{socket:?}: a write after finish"
        );
        let io = link.send(bytes, allowed);
        if let Io::Done(mut left) = io {
            for run in runs {
                let cut = left.min(run.len());
                link.queue(&run[..cut]);
                left -= cut;
            }
        }
        self.note_io(io)
    }

    fn run_preamble(&mut self, socket: &SimSocket) -> Connect {
        self.meanwhile();
        let link = self.link(socket.link);
        let outcome = link.run_preamble();
        let (keeps, server) = (link.keeps_bytes(), link.server);
        if keeps {
            raise(&mut self.sockets, server);
        }
        let fact = match &outcome {
            Connect::Pending(want) => u64::from(want.reads()) | u64::from(want.writes()) << 1,
            Connect::Done(_) => 1 << 32,
            Connect::Finished => 1 << 33,
            Connect::Failed(errno) => 1 << 34 | u64::from(errno.0.unsigned_abs()),
            Connect::Refused(_) => 1 << 35,
        };
        self.note('p', fact);
        outcome
    }

    fn accept(&mut self, listener: &SimListener) -> Accept<SimSocket> {
        let outcome = self.take_caller(listener);
        self.trace_call(|| format!("accept {} = {}", listener.0, trace::accept(&outcome)));
        outcome
    }

    fn take_caller(&mut self, listener: &SimListener) -> Accept<SimSocket> {
        self.meanwhile();
        self.note('a', listener.0 as u64);
        // accept4(2) asks for a descriptor before it looks at the backlog, so this comes also when
        // nobody waits.
        if self.descriptors_missing > 0 {
            self.descriptors_missing -= 1;
            return Accept::Exhausted(Errno::MFILE);
        }
        if self.is_out_of_descriptors() {
            return Accept::Exhausted(Errno::MFILE);
        }
        if self.chance(|faults| faults.accept_exhausted) {
            let errnos = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
            return Accept::Exhausted(errnos[self.rng.below(4)]);
        }
        if let Some(errno) = self.lacks_memory(Need::Accept) {
            return Accept::Exhausted(errno);
        }
        let Some(link) = self.listeners[listener.0].backlog.pop_front() else {
            return Accept::Empty;
        };
        if self.chance(|faults| faults.accept_skipped) {
            self.drop_caller(link, true);
            return Accept::Skipped([Errno::CONNABORTED, EPROTO, Errno::PERM][self.rng.below(3)]);
        }
        let index = self.add_socket(link);
        self.link(link).server = ServerEnd::Open(index);
        let address = self.link(link).address.clone();
        Accept::Socket(SimSocket { index, link }, address)
    }

    fn watch_of(&mut self, socket: &SimSocket) -> &mut Option<Watch> {
        let known = self.sockets[socket.index as usize].as_mut();
        &mut known.expect("the caller has entered, so the socket is open").watch
    }
}

/// One poller watches a socket, or the same bytes would be read by two threads.
fn assert_free(watch: &Option<Watch>, whose: &dyn fmt::Debug) {
    if let Some(watch) = watch {
        panic!("{whose:?} is watched already, by kernel {}", watch.kernel);
    }
}

/// The watch, if it is this kernel's: to another poller it does not exist (`ENOENT`).
fn own(watch: &mut Option<Watch>, kernel: usize) -> Option<&mut Watch> {
    watch.as_mut().filter(|watch| watch.kernel == kernel)
}

impl Kernel for Sim {
    type Socket = SimSocket;
    type Listener = SimListener;

    fn now(&mut self) -> Now {
        self.0.world.borrow().now
    }

    fn trigger(&self) -> Trigger {
        self.0.world.borrow().trigger
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<usize, Errno> {
        let kernel = self.0.kernel;
        let mut world = self.call(|calls| &mut calls.waits);
        if let Some(errno) = world.pollers[kernel].broken {
            return Err(errno);
        }
        let begun = world.begin_wait(kernel, timeout);
        drop(world);
        if let Begun::Asleep(due) = begun {
            self.sleep(due);
        }
        Ok(self.world().end_wait(kernel, timeout, begun))
    }

    fn ready(&self, nth: usize) -> Option<Ready> {
        self.0.world.borrow().pollers[self.0.kernel].ready.get(nth).copied()
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.0.world.borrow().pollers[self.0.kernel].bell.clone()
    }

    fn waker_seen(&mut self) {
        let world = self.call(|calls| &mut calls.wakes_seen);
        world.pollers[self.0.kernel].bell.rung.store(false, Ordering::Release);
    }

    fn signals_seen(&mut self) -> usize {
        std::mem::take(&mut self.world().pollers[self.0.kernel].signals)
    }

    fn watch_listener(&mut self, listener: &SimListener, number: usize) -> Result<(), Errno> {
        let mut world = self.call(|calls| &mut calls.watches);
        world.note('l', listener.0 as u64);
        let watch = &mut world.listeners[listener.0].watch;
        assert_free(watch, listener);
        let (kernel, token) = (self.0.kernel, Token::listener(number));
        *watch = Some(Watch { kernel, token, want: Interest::READ, edge: true });
        Ok(())
    }

    fn rest_listener(
        &mut self,
        listener: &SimListener,
        number: usize,
        rest: bool,
    ) -> Result<(), Errno> {
        let outcome = self.try_rest(listener, number, rest);
        let act = if rest { "rest" } else { "wake" };
        self.trace(|| format!("{act} listener {number} = {}", trace::done(outcome)));
        outcome
    }

    fn accept(&mut self, listener: &SimListener) -> Accept<SimSocket> {
        self.call(|calls| &mut calls.accepts).accept(listener)
    }

    fn refuse(&mut self, listener: &SimListener) -> bool {
        let refused = self.try_refuse(listener);
        self.trace(|| format!("refuse {} = {refused}", listener.0));
        refused
    }

    fn regain_reserve(&mut self) -> Result<(), Errno> {
        self.world().regain_reserve()
    }

    fn close_listener(&mut self, listener: SimListener) {
        let mut world = self.call(|calls| &mut calls.closes);
        world.note('L', listener.0 as u64);
        world.trace_call(|| format!("close listener {}", listener.0));
        let listening = &mut world.listeners[listener.0];
        assert!(!listening.closed, "{listener:?} is closed already");
        listening.closed = true;
        listening.watch = None;
        for link in std::mem::take(&mut listening.backlog) {
            world.drop_caller(link, true);
        }
    }

    fn connect(&mut self, route: &Route) -> Result<SimSocket, Errno> {
        let outcome = self.try_connect(route);
        self.trace(|| format!("connect = {}", trace::socket(&outcome)));
        outcome
    }

    fn preamble(&self, socket: &SimSocket) -> Option<Interest> {
        self.0.world.borrow().links.get(&socket.link).and_then(Link::preamble)
    }

    fn connected(&mut self, socket: &SimSocket) -> Connect {
        let outcome = self.try_connected(socket);
        self.trace(|| format!("connected s{} = {}", socket.index, trace::connect(&outcome)));
        outcome
    }

    fn watch(&mut self, socket: &SimSocket, token: Token, want: Interest) -> Result<(), Errno> {
        let outcome = self.try_watch(socket, token, want);
        self.trace(|| trace::watch("watch", socket, token, want, outcome));
        outcome
    }

    fn rearm(&mut self, socket: &SimSocket, token: Token, want: Interest) -> Result<(), Errno> {
        let outcome = self.try_rearm(socket, token, want);
        self.trace(|| trace::watch("rearm", socket, token, want, outcome));
        outcome
    }

    fn unwatch(&mut self, socket: &SimSocket) {
        let mut world = self.call(|calls| &mut calls.rearms);
        world.enter('u', socket);
        world.trace_call(|| format!("unwatch s{}", socket.index));
        let waits = world.link(socket.link).has_layer();
        assert!(waits || world.trigger == Trigger::Level, "{socket:?} is unwatched under edge");
        let watch = world.watch_of(socket);
        assert!(
            own(watch, self.0.kernel).is_some(),
            "{socket:?} is unwatched, and was not watched"
        );
        *watch = None;
    }

    fn outstanding(&mut self, socket: &SimSocket) -> usize {
        self.call(|calls| &mut calls.errors).enter('o', socket).outstanding()
    }

    fn recv(&mut self, socket: &SimSocket, into: &mut [u8]) -> Io {
        let room = into.len();
        let mut at = 0;
        self.call(|calls| &mut calls.recvs).recv(socket, room, |piece| {
            into[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        })
    }

    fn recv_spare(&mut self, socket: &SimSocket, into: &mut Vec<u8>) -> Io {
        let room = into.capacity() - into.len();
        self.call(|calls| &mut calls.recvs)
            .recv(socket, room, |piece| into.extend_from_slice(piece))
    }

    fn send(&mut self, socket: &SimSocket, bytes: &[u8]) -> Io {
        self.call(|calls| &mut calls.sends).send(socket, &[bytes])
    }

    fn send_vectored(&mut self, socket: &SimSocket, runs: &[IoSlice<'_>]) -> Io {
        let runs: Vec<&[u8]> = runs.iter().map(|run| &run[..]).collect();
        self.call(|calls| &mut calls.sends).send(socket, &runs)
    }

    fn finish(&mut self, socket: &SimSocket) {
        let mut world = self.call(|calls| &mut calls.finishes);
        let link = world.enter('f', socket);
        assert!(link.is_connected(), "{socket:?} is finished before it is connected");
        link.finish();
        // inet_shutdown wakes the poller, also for our own end.
        let server = link.server;
        raise(&mut world.sockets, server);
        world.trace_call(|| format!("finish s{}", socket.index));
    }

    fn take_error(&mut self, socket: &SimSocket) -> Option<Errno> {
        let mut world = self.call(|calls| &mut calls.errors);
        let error = world.enter('e', socket).error.take();
        world.trace_call(|| format!("error of s{} = {}", socket.index, trace::error(error)));
        error
    }

    fn close(&mut self, socket: SimSocket, how: Farewell) {
        let mut world = self.call(|calls| &mut calls.closes);
        world.enter('x', &socket).close(how == Farewell::Reset);
        world.trace_call(|| format!("close s{}, {how:?}", socket.index));
        world.remove_socket(socket.index);
        world.forget(socket.link);
    }
}
