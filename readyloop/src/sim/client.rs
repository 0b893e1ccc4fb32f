//! One client of the simulated net: the far end of one connection, moved by the test.
//!
//! A client is passive. It does what the test says, and reads what comes unless it was told to
//! stall.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use super::link::{ClientEnd, Handshake, Link, Reset, ServerEnd, Stage};
use super::preamble::{Layer, Preamble};
use super::world::World;
use crate::address::Address;
use crate::error::Errno;

/// A handle on one client: a caller, or the remote side of a connection that the server dialled.
/// Clones are the same client. When the last handle is dropped the connection stays as it is.
pub struct Client {
    world: Rc<RefCell<World>>,
    link: u64,
}

/// How the server ended its direction, as the client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// FIN, behind every byte that the server wrote.
    Finished,
    /// RST: bytes may be missing.
    Reset,
}

impl Client {
    /// Takes over one handle that the link has counted already.
    pub(super) fn new(world: Rc<RefCell<World>>, link: u64) -> Client {
        Client { world, link }
    }

    fn trace(&self, act: impl FnOnce() -> String) {
        let link = self.link;
        self.world.borrow_mut().trace(|| format!("c{link} {}", act()));
    }

    fn link<R>(&self, act: impl FnOnce(&mut Link) -> R) -> R {
        act(self.world.borrow_mut().link(self.link))
    }

    /// The caller's address; for a dialled connection, the address that the server dialled.
    pub fn address(&self) -> Address {
        self.link(|link| link.address.clone())
    }

    /// Sends bytes; they are in flight until waits of the server move them on. After the server has
    /// torn the connection down they go nowhere.
    ///
    /// # Panics
    /// When this client has ended its direction, or is dialled and has not accepted.
    pub fn send(&self, bytes: &[u8]) {
        self.trace(|| format!("sends {}", bytes.len()));
        self.link(|link| {
            assert!(link.handshake != Handshake::Dialled, "{self:?} sends before it accepts");
            let ended = link.to_server.end != Stage::Open || link.client == ClientEnd::Gone;
            assert!(!ended, "{self:?} sends after its end");
            if link.reset == Reset::No {
                link.to_server.flying.extend(bytes);
            }
        });
    }

    /// Before the server is connected with this client, both must go through this preamble; the
    /// client's part is the first that it sends.
    ///
    /// # Panics
    /// When this client was accepted already, or was dialled and has answered.
    pub fn begin_with(&self, preamble: Preamble) {
        self.link(|link| {
            let waits = link.server == ServerEnd::Waiting || link.handshake == Handshake::Dialled;
            assert!(waits, "{self:?} is accepted already, or has answered");
            link.layer = Some(Layer::new(preamble));
        });
    }

    /// Puts an urgent mark behind what was sent, as a byte of urgent data does (tcp(7), `MSG_OOB`);
    /// the urgent byte itself is not part of the stream.
    pub fn send_urgent(&self) {
        self.trace(|| "sends urgent data".to_string());
        self.link(Link::mark_urgent);
    }

    /// Ends the client's direction behind what was sent (FIN); it still reads.
    pub fn finish(&self) {
        self.trace(|| "finishes".to_string());
        self.link(Self::end_direction);
    }

    fn end_direction(link: &mut Link) {
        if link.to_server.end == Stage::Open && link.client != ClientEnd::Gone {
            link.to_server.end = Stage::Sent;
        }
    }

    /// Ends both directions, as close(2) does. TCP: FIN, and bytes that still come are answered with a
    /// reset. Unix: the server's socket is hung up, with what was sent still to be read.
    pub fn close(&self) {
        self.trace(|| "closes".to_string());
        self.link(|link| {
            Self::end_direction(link);
            link.client = ClientEnd::Gone;
        });
    }

    /// Tears the connection down (RST), as close(2) does with `SO_LINGER` of zero seconds.
    pub fn reset(&self) {
        self.trace(|| "resets".to_string());
        self.link(|link| {
            link.client = ClientEnd::Gone;
            if link.reset == Reset::No {
                link.reset = Reset::LeftClient;
            }
        });
    }

    /// Reads no more: what the server sends stays in its send buffer, up to the window.
    pub fn stop_reading(&self) {
        self.trace(|| "stops reading".to_string());
        self.link(|link| {
            if link.client == ClientEnd::Reads {
                link.client = ClientEnd::Stalls;
            }
        });
    }

    /// Reads again.
    pub fn resume_reading(&self) {
        self.trace(|| "reads on".to_string());
        self.link(|link| {
            if link.client == ClientEnd::Stalls {
                link.client = ClientEnd::Reads;
            }
        });
    }

    /// How many bytes the server's send buffer for this client holds; 262,144 at first, unless a
    /// fault made it small. At 0 the server can send nothing.
    pub fn set_window(&self, bytes: usize) {
        self.trace(|| format!("has a window of {bytes}"));
        self.link(|link| link.window_bytes = bytes);
    }

    /// Takes at most so many bytes out of the server's send buffer, also while it does not read
    /// otherwise: a peer that reads slowly.
    pub fn take_some(&self, bytes: usize) {
        self.trace(|| format!("takes {bytes}"));
        self.link(|link| link.carry(bytes));
    }

    /// Everything that has come and was not taken.
    pub fn received(&self) -> Vec<u8> {
        self.link(|link| link.to_client.landed.iter().copied().collect())
    }

    /// Takes everything that has come.
    pub fn take_received(&self) -> Vec<u8> {
        self.link(|link| std::mem::take(&mut link.to_client.landed).into())
    }

    /// How the server ended its direction, once the end is here and every byte before it.
    pub fn end(&self) -> Option<End> {
        self.link(|link| match (link.to_client.end, link.reset) {
            (Stage::Landed, _) => Some(End::Finished),
            (_, Reset::ReachedClient) => Some(End::Reset),
            _ => None,
        })
    }

    /// Bytes that were sent and have not arrived at the server's socket.
    pub fn in_flight(&self) -> usize {
        self.link(|link| link.to_server.flying.len())
    }

    /// Bytes that have arrived at the server's socket and that it has not read.
    pub fn unread(&self) -> usize {
        self.link(|link| link.to_server.landed.len())
    }

    /// Bytes in the server's send buffer.
    pub fn queued(&self) -> usize {
        self.link(|link| link.to_client.flying.len())
    }

    /// Whether the caller still waits in the backlog.
    pub fn is_waiting(&self) -> bool {
        self.link(|link| link.server == ServerEnd::Waiting)
    }

    /// Answers the server's dial with yes.
    ///
    /// # Panics
    /// When this client was not dialled, or was answered already.
    pub fn accept(&self) {
        self.trace(|| "accepts".to_string());
        self.answer(Handshake::Answered);
    }

    /// Answers the server's dial with no: `ECONNREFUSED`, or what the network would say in its
    /// place.
    ///
    /// # Panics
    /// As [`Client::accept`].
    pub fn refuse(&self, errno: Errno) {
        self.trace(|| format!("refuses, errno {}", errno.0));
        self.answer(Handshake::Refused(errno));
    }

    /// An answer that comes after the server has given up is lost.
    fn answer(&self, answer: Handshake) {
        self.link(|link| {
            let given_up = link.server == ServerEnd::Closed;
            assert!(
                given_up || link.handshake == Handshake::Dialled,
                "{self:?} waits for no answer"
            );
            if !given_up {
                link.handshake = answer;
            }
        });
    }
}

impl Clone for Client {
    fn clone(&self) -> Client {
        self.link(|link| link.handles += 1);
        Client::new(self.world.clone(), self.link)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // While a panic unwinds the world may be borrowed, and then nobody will need the memory.
        if let Ok(mut world) = self.world.try_borrow_mut() {
            world.link(self.link).handles -= 1;
            world.forget(self.link);
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.link)
    }
}
