//! The server's side of the model: `Kernel` over a simulated net.
//!
//! It is also a checker. Whatever the seam forbids, or no sane reactor would ask, panics here with
//! the name of the rule, where Linux would carry on with a wrong answer.

use std::cell::{RefCell, RefMut};
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::link::{Link, ServerEnd, Stage};
use super::world::{Watch, World, raise};
use crate::address::Address;
use crate::clock::Now;
use crate::error::Errno;
use crate::id::Token;
use crate::kernel::{Accept, Farewell, Interest, Io, Kernel, Ready, Trigger, Wake};

/// The most runs that one vectored write carries (`IOV_MAX`).
const RUNS_MAX: usize = 1024;

const ENETUNREACH: Errno = Errno(101);
const ENOBUFS: Errno = Errno(105);
const ENOTCONN: Errno = Errno(107);
const EPROTO: Errno = Errno(71);

/// The model kernel, to be given to a reactor. Made by [`Net::kernel`](super::Net::kernel).
///
/// # Panics
/// Its methods panic when their caller breaks a rule of [`Kernel`]; the message names the rule.
pub struct Sim {
    pub(super) world: Rc<RefCell<World>>,
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
    fn world(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
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
            Io::Failed(errno) => 1 << 34 | u64::from(errno.0.unsigned_abs()),
        };
        self.note('=', fact);
        io
    }

    fn recv(&mut self, socket: &SimSocket, room: usize, take: impl FnMut(&[u8])) -> Io {
        assert!(room > 0, "{socket:?}: a read into nothing would look like the peer's end");
        self.meanwhile();
        self.calls.recvs += 1;
        let short = self.trigger == Trigger::Level && self.chance(|faults| faults.short_reads);
        let asked = if short { self.rng.piece(room) } else { room };
        let io = self.enter('r', socket).recv(asked, take);
        self.note_io(io)
    }

    fn send(&mut self, socket: &SimSocket, runs: &[&[u8]]) -> Io {
        assert!(runs.len() <= RUNS_MAX, "{socket:?}: {} runs in one write (IOV_MAX)", runs.len());
        let bytes: usize = runs.iter().map(|run| run.len()).sum();
        assert!(bytes > 0, "{socket:?}: a write of nothing");
        self.meanwhile();
        self.calls.sends += 1;
        let short = self.chance(|faults| faults.short_writes);
        let allowed = if short { self.rng.piece(bytes + 1) - 1 } else { bytes };
        let link = self.enter('s', socket);
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

    fn accept(&mut self, listener: &SimListener) -> Accept<SimSocket> {
        self.meanwhile();
        self.calls.accepts += 1;
        self.note('a', listener.0 as u64);
        if self.descriptors_missing > 0 {
            self.descriptors_missing -= 1;
            return self.exhausted(listener, Errno::MFILE);
        }
        if self.chance(|faults| faults.accept_exhausted) {
            let errno = [Errno::MFILE, Errno::NFILE, ENOBUFS, Errno::NOMEM][self.rng.below(4)];
            return self.exhausted(listener, errno);
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

    /// accept4(2) asks for a descriptor before it looks at the backlog, so this comes also when
    /// nobody waits.
    fn exhausted(&mut self, listener: &SimListener, errno: Errno) -> Accept<SimSocket> {
        let mut refused = false;
        if !self.chance(|faults| faults.reserve_missing)
            && let Some(link) = self.listeners[listener.0].backlog.pop_front()
        {
            self.drop_caller(link, false);
            refused = true;
        }
        Accept::Exhausted { errno, refused }
    }

    fn watch_of(&mut self, socket: &SimSocket) -> &mut Option<Watch> {
        let known = self.sockets[socket.index as usize].as_mut();
        &mut known.expect("the caller has entered, so the socket is open").watch
    }
}

impl Kernel for Sim {
    type Socket = SimSocket;
    type Listener = SimListener;

    fn now(&mut self) -> Now {
        self.world().now
    }

    fn trigger(&self) -> Trigger {
        self.world().trigger
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<usize, Errno> {
        Ok(self.world().wait(timeout))
    }

    fn ready(&self, nth: usize) -> Ready {
        let world = self.world();
        let length = world.ready.len();
        *world.ready.get(nth).unwrap_or_else(|| panic!("event {nth} of a ready list of {length}"))
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.world().bell.clone()
    }

    fn waker_seen(&mut self) {
        let mut world = self.world();
        world.calls.wakes_seen += 1;
        world.bell.rung.store(false, Ordering::Release);
    }

    fn signals_seen(&mut self) -> usize {
        std::mem::take(&mut self.world().signals)
    }

    fn watch_listener(&mut self, listener: &SimListener, number: usize) -> Result<(), Errno> {
        let mut world = self.world();
        world.calls.watches += 1;
        world.note('l', listener.0 as u64);
        let watch = &mut world.listeners[listener.0].watch;
        assert!(watch.is_none(), "{listener:?} is watched already");
        let token = Token::listener(number);
        *watch = Some(Watch { token, want: Interest::READ, edge: true });
        Ok(())
    }

    fn rest_listener(&mut self, listener: &SimListener, number: usize, rest: bool) {
        let world = &mut *self.world();
        let Some(watch) = &mut world.listeners[listener.0].watch else {
            panic!("{listener:?} is to rest, but it is not watched");
        };
        assert!(watch.token == Token::listener(number), "{listener:?} has another number");
        watch.want = match world.trigger {
            Trigger::Edge => return,
            Trigger::Level if rest => Interest::NONE,
            Trigger::Level => Interest::READ,
        };
        world.calls.rearms += 1;
    }

    fn accept(&mut self, listener: &SimListener) -> Accept<SimSocket> {
        self.world().accept(listener)
    }

    fn close_listener(&mut self, listener: SimListener) {
        let mut world = self.world();
        world.calls.closes += 1;
        world.note('L', listener.0 as u64);
        let listening = &mut world.listeners[listener.0];
        assert!(!listening.closed, "{listener:?} is closed already");
        listening.closed = true;
        listening.watch = None;
        for link in std::mem::take(&mut listening.backlog) {
            world.drop_caller(link, true);
        }
    }

    fn connect(&mut self, to: &Address) -> Result<SimSocket, Errno> {
        let mut world = self.world();
        world.calls.connects += 1;
        if world.chance(|faults| faults.connect_refused) {
            return Err(ENETUNREACH);
        }
        // The link must know its socket, and the socket its link: the link's number is the next
        // one.
        let link = world.links_made();
        let index = world.add_socket(link);
        world.add_link(to.clone(), ServerEnd::Open(index));
        world.dialled.push_back(link);
        world.note('c', u64::from(index));
        Ok(SimSocket { index, link })
    }

    fn connected(&mut self, socket: &SimSocket) -> Result<bool, Errno> {
        let mut world = self.world();
        world.calls.errors += 1;
        let link = world.enter('?', socket);
        match link.error.take() {
            Some(errno) => Err(errno),
            None if link.is_torn() => Err(ENOTCONN),
            None => Ok(link.is_connected()),
        }
    }

    fn watch(&mut self, socket: &SimSocket, token: Token, want: Interest) -> Result<(), Errno> {
        let mut world = self.world();
        world.calls.watches += 1;
        let readiness = world.enter('w', socket).readiness();
        assert!(world.watch_of(socket).is_none(), "{socket:?} is watched already");
        if world.chance(|faults| faults.watch_refused) {
            return Err([Errno::NOSPC, Errno::NOMEM][world.rng.below(2)]);
        }
        let want = if world.trigger == Trigger::Edge { Interest::BOTH } else { want };
        // ep_insert: what is ready at this moment counts as an edge.
        *world.watch_of(socket) = Some(Watch { token, want, edge: readiness != 0 });
        Ok(())
    }

    fn rearm(&mut self, socket: &SimSocket, token: Token, want: Interest) -> Result<(), Errno> {
        let mut world = self.world();
        world.calls.rearms += 1;
        world.enter('m', socket);
        assert!(world.trigger == Trigger::Level, "{socket:?} is rearmed under edge");
        if world.chance(|faults| faults.rearm_refused) {
            return Err(Errno::NOMEM);
        }
        let Some(watch) = world.watch_of(socket) else {
            panic!("{socket:?} is rearmed, but it is not watched");
        };
        assert!(watch.token == token, "{socket:?} is watched under another token");
        assert!(watch.want != want, "{socket:?} is rearmed to what it has: a call for nothing");
        watch.want = want;
        Ok(())
    }

    fn recv(&mut self, socket: &SimSocket, into: &mut [u8]) -> Io {
        let room = into.len();
        let mut at = 0;
        self.world().recv(socket, room, |piece| {
            into[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        })
    }

    fn recv_spare(&mut self, socket: &SimSocket, into: &mut Vec<u8>) -> Io {
        let room = into.capacity() - into.len();
        self.world().recv(socket, room, |piece| into.extend_from_slice(piece))
    }

    fn send(&mut self, socket: &SimSocket, bytes: &[u8]) -> Io {
        self.world().send(socket, &[bytes])
    }

    fn send_vectored(&mut self, socket: &SimSocket, runs: &[IoSlice<'_>]) -> Io {
        let runs: Vec<&[u8]> = runs.iter().map(|run| &run[..]).collect();
        self.world().send(socket, &runs)
    }

    fn finish(&mut self, socket: &SimSocket) {
        let mut world = self.world();
        world.calls.finishes += 1;
        let link = world.enter('f', socket);
        assert!(link.is_connected(), "{socket:?} is finished before it is connected");
        link.finish();
        // inet_shutdown wakes the poller, also for our own end.
        let server = link.server;
        raise(&mut world.sockets, server);
    }

    fn take_error(&mut self, socket: &SimSocket) -> Option<Errno> {
        let mut world = self.world();
        world.calls.errors += 1;
        world.enter('e', socket).error.take()
    }

    fn close(&mut self, socket: SimSocket, how: Farewell) {
        let mut world = self.world();
        world.calls.closes += 1;
        world.enter('x', &socket).close(how == Farewell::Reset);
        world.remove_socket(socket.index);
        world.forget(socket.link);
    }
}
