//! What a peer and the server must say to each other before they are connected: a model of what a TLS
//! handshake or the header of a proxy is to a reactor, as a layer over one connection.
//!
//! Like such a layer it reads and writes the connection itself, and it may read more than was its own:
//! then it has bytes of the session, of which the kernel below knows nothing, and announces them.
//!
//! Invariants: nothing is `kept` of the session's bytes before the preamble is done, unless it reads
//! ahead; whatever is kept is read before what lies in the connection.

use std::collections::VecDeque;

use super::link::Link;
use crate::address::Address;
use crate::kernel::{Connect, Interest, Io};

/// What must come before a peer is connected ([`Client::begin_with`](super::Client::begin_with)).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Preamble {
    /// What the two sides say, in this order.
    pub legs: Vec<Leg>,
    /// The address that the peer tells by it, in place of its own.
    pub address: Option<Address>,
    /// Why the server does not take what it was told; looked at behind the last leg.
    pub refused: Option<&'static str>,
    /// Whether the server reads all that has come, and not only what belongs to the preamble.
    pub reads_ahead: bool,
}

/// One part of a [`Preamble`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leg {
    /// So many bytes of the peer, whatever they are.
    Hears(usize),
    /// So many bytes of the server, each of them [`Preamble::SAID`].
    Says(usize),
}

impl Preamble {
    /// What the server says.
    pub const SAID: u8 = b'!';

    /// So many bytes of the peer, and nothing else.
    pub fn heard(bytes: usize) -> Preamble {
        Preamble { legs: vec![Leg::Hears(bytes)], ..Preamble::default() }
    }

    /// All that the server says.
    pub fn said(&self) -> Vec<u8> {
        let said = |leg: &Leg| if let Leg::Says(bytes) = leg { *bytes } else { 0 };
        vec![Preamble::SAID; self.legs.iter().map(said).sum()]
    }

    /// How many bytes of the peer's stream it has.
    pub fn bytes(&self) -> usize {
        let heard = |leg: &Leg| if let Leg::Hears(bytes) = leg { *bytes } else { 0 };
        self.legs.iter().map(heard).sum()
    }
}

/// One preamble on its way.
pub(super) struct Layer {
    left: VecDeque<Leg>,
    given: Preamble,
    /// Bytes that were read and are not part of what has been heard.
    kept: VecDeque<u8>,
    is_done: bool,
}

impl Layer {
    pub(super) fn new(given: Preamble) -> Layer {
        let left = given.legs.iter().copied().collect();
        Layer { left, given, kept: VecDeque::new(), is_done: false }
    }
}

impl Link {
    /// What the socket is watched for while its preamble is not done.
    pub(super) fn preamble(&self) -> Option<Interest> {
        let layer = self.layer.as_ref().filter(|layer| !layer.is_done)?;
        match layer.left.front() {
            Some(Leg::Says(_)) => Some(Interest::WRITE),
            _ => Some(Interest::READ),
        }
    }

    /// Whether there was ever a preamble.
    pub(super) fn has_layer(&self) -> bool {
        self.layer.is_some()
    }

    /// Whether the layer has bytes of the session.
    pub(super) fn keeps_bytes(&self) -> bool {
        self.layer.as_ref().is_some_and(|layer| layer.is_done && !layer.kept.is_empty())
    }

    /// Says and hears as much as can be.
    pub(super) fn run_preamble(&mut self) -> Connect {
        let Some(mut layer) = self.layer.take() else { return Connect::Done(None) };
        let outcome = self.run(&mut layer);
        layer.is_done = !matches!(outcome, Connect::Pending(_));
        self.layer = Some(layer);
        outcome
    }

    fn run(&mut self, layer: &mut Layer) -> Connect {
        while let Some(leg) = layer.left.front_mut() {
            match leg {
                Leg::Hears(0) | Leg::Says(0) => {
                    layer.left.pop_front();
                }
                Leg::Hears(bytes) if !layer.kept.is_empty() => {
                    let count = layer.kept.len().min(*bytes);
                    layer.kept.drain(..count);
                    *bytes -= count;
                }
                Leg::Hears(bytes) => {
                    let asked = if layer.given.reads_ahead { usize::MAX } else { *bytes };
                    match self.recv(asked, |piece| layer.kept.extend(piece)) {
                        Io::Done(_) => {}
                        Io::WouldBlock => return Connect::Pending(Interest::READ),
                        Io::Finished => return Connect::Finished,
                        Io::Failed(errno) | Io::Exhausted(errno) => {
                            return Connect::Failed(errno);
                        }
                    }
                }
                Leg::Says(bytes) => match self.send(*bytes, *bytes) {
                    Io::Done(count) => {
                        self.queue(&vec![Preamble::SAID; count]);
                        *bytes -= count;
                    }
                    Io::WouldBlock | Io::Finished => return Connect::Pending(Interest::WRITE),
                    Io::Failed(errno) | Io::Exhausted(errno) => {
                        return Connect::Failed(errno);
                    }
                },
            }
        }
        match layer.given.refused {
            Some(why) => Connect::Refused(why),
            None => Connect::Done(layer.given.address.clone()),
        }
    }

    /// As [`Link::recv`], through the layer: what it has comes first.
    pub(super) fn read(&mut self, asked: usize, mut take: impl FnMut(&[u8])) -> Io {
        if self.keeps_bytes()
            && let Some(layer) = &mut self.layer
        {
            let count = asked.min(layer.kept.len());
            let bytes: Vec<u8> = layer.kept.drain(..count).collect();
            take(&bytes);
            return Io::Done(count);
        }
        self.recv(asked, take)
    }
}
