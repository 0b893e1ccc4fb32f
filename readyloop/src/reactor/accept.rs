//! Callers: accepted until there are no more or the turn's budget is spent, refused before a
//! session exists where a limit says so.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::address::Address;
use crate::close::CloseReason;
use crate::context::Peer;
use crate::error::Errno;
use crate::handler::Handler;
use crate::id::{SessionId, Token};
use crate::incident::Incident;
use crate::kernel::{Accept, Farewell, Interest, Kernel};
use crate::recv::Remainder;
use crate::session::State;

use super::Reactor;
use super::links::{Link, Open};

/// The listening sockets, and who called from where.
pub(super) struct Listeners<K: Kernel> {
    sockets: Vec<K::Listener>,
    /// Which of them rest: under edge, new callers are announced all the same.
    resting: Vec<bool>,
    /// Listeners with callers left over, to be served in the next turn without an event (edge).
    pub(super) still_ready: Vec<usize>,
    callers: Option<Callers>,
}

/// Sessions for each address; exists only if they are limited.
struct Callers {
    most: u32,
    counts: HashMap<IpAddr, u32>,
    /// The address of each slot's session.
    addresses: Vec<Option<IpAddr>>,
}

impl<K: Kernel> Listeners<K> {
    pub(super) fn watch(
        kernel: &mut K,
        sockets: Vec<K::Listener>,
        per_address_max: Option<u32>,
    ) -> Result<Listeners<K>, Errno> {
        for (number, socket) in sockets.iter().enumerate() {
            kernel.watch_listener(socket, number)?;
        }
        let callers = per_address_max.map(|most| Callers {
            most,
            counts: HashMap::new(),
            addresses: Vec::new(),
        });
        let resting = vec![false; sockets.len()];
        Ok(Listeners { sockets, resting, still_ready: Vec::new(), callers })
    }

    #[inline]
    pub(super) fn has_work(&self) -> bool {
        !self.still_ready.is_empty()
    }

    pub(super) fn close(&mut self, kernel: &mut K) {
        self.sockets.drain(..).for_each(|socket| kernel.close_listener(socket));
        self.still_ready.clear();
    }

    /// A session of slot `index` has ended.
    pub(super) fn ended(&mut self, index: usize) {
        if let Some(callers) = &mut self.callers {
            callers.ended(index);
        }
    }
}

impl Callers {
    fn has_room(&self, ip: Option<IpAddr>) -> bool {
        ip.is_none_or(|ip| self.counts.get(&ip).is_none_or(|count| *count < self.most))
    }

    fn began(&mut self, index: usize, ip: Option<IpAddr>) {
        let Some(ip) = ip else { return };
        if self.addresses.len() <= index {
            self.addresses.resize(index + 1, None);
        }
        self.addresses[index] = Some(ip);
        *self.counts.entry(ip).or_insert(0) += 1;
    }

    fn ended(&mut self, index: usize) {
        let Some(ip) = self.addresses.get_mut(index).and_then(Option::take) else { return };
        if let Some(count) = self.counts.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&ip);
            }
        }
    }
}

impl<K: Kernel, H: Handler> Reactor<K, H> {
    /// Takes callers from a listener until it has none or the budget is spent.
    pub(super) fn accept(&mut self, number: usize) {
        if self.listeners.resting.get(number) != Some(&false) {
            return;
        }
        let mut exhausted = None;
        for _ in 0..self.limits.accepts_per_turn {
            // A listener that was closed in this turn may still have an event in the ready list.
            let Some(listener) = self.listeners.sockets.get(number) else { return };
            match self.kernel.accept(listener) {
                Accept::Socket(socket, address) => self.admit(socket, address, number),
                Accept::Empty => return self.rest_if(exhausted, number),
                Accept::Skipped(_) => self.sessions.stats.accepts_skipped += 1,
                Accept::Exhausted { errno, refused } => {
                    self.sessions.stats.refused_by_descriptors += u64::from(refused);
                    exhausted = Some(errno);
                    if !refused {
                        break;
                    }
                }
            }
        }
        if exhausted.is_none() && self.edge {
            self.listeners.still_ready.push(number);
        }
        self.rest_if(exhausted, number);
    }

    /// Lets a listener rest if descriptors ran out: what is short now is short in the next turn,
    /// and a level-triggered listener would keep the reactor spinning.
    fn rest_if(&mut self, exhausted: Option<Errno>, number: usize) {
        let Some(errno) = exhausted else { return };
        self.sessions.stats.listener_rests += 1;
        self.listeners.resting[number] = true;
        self.kernel.rest_listener(&self.listeners.sockets[number], number, true);
        self.sessions.set_listener_timer(number as u32);
        (self.report)(Incident::ListenerRests { listener: number, errno });
    }

    /// A listener's rest is over.
    pub(super) fn listener_rested(&mut self, number: usize) {
        if let Some(listener) = self.listeners.sockets.get(number) {
            self.kernel.rest_listener(listener, number, false);
            self.listeners.resting[number] = false;
            self.accept(number);
        }
    }

    fn admit(&mut self, socket: K::Socket, address: Address, listener: usize) {
        let ip = address.ip();
        let has_room = self.listeners.callers.as_ref().is_none_or(|callers| callers.has_room(ip));
        if self.sessions.is_full() || !has_room {
            self.sessions.stats.refused_by_limit += 1;
            return self.kernel.close(socket, Farewell::Finish);
        }
        let id = self.sessions.insert(State::Open);
        if let Err(errno) = self.kernel.watch(&socket, Token::session(id), Interest::READ) {
            return self.forget(id, socket, CloseReason::System(errno));
        }
        if let Some(session) = self.sessions.get_mut(id) {
            session.interest = Interest::READ;
        }
        if let Some(callers) = &mut self.listeners.callers {
            callers.began(id.index(), ip);
        }
        self.open(id, socket, Peer { address, listener: Some(listener) });
    }

    /// Introduces a session to its handler.
    pub(super) fn open(&mut self, id: SessionId, socket: K::Socket, peer: Peer) {
        match self.guard(id, |handler, context| handler.on_open(&peer, context)) {
            Some((framer, session)) => {
                self.sessions.stats.opened += 1;
                let remainder = Remainder::default();
                self.links.put(id, Link::Open(Open { socket, remainder, framer, session }));
            }
            None => self.forget(id, socket, CloseReason::HandlerPanicked),
        }
    }

    /// Ends a session that no handler has met, and of which none will hear again.
    #[cold]
    fn forget(&mut self, id: SessionId, socket: K::Socket, reason: CloseReason) {
        self.sessions.kill(id, reason);
        self.links.put(id, Link::Bare(socket));
    }
}
