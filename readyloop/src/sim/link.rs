//! One connection of the model network: bytes on their way in both directions, and how each of them
//! ends.
//!
//! Pure: it knows no poller, no descriptor table and no clock. It is faithful to Linux's TCP where
//! a server can see the difference (tcp(7); net/ipv4/tcp.c: `tcp_poll`, `tcp_recvmsg`,
//! `tcp_sendmsg`, `tcp_reset`, `tcp_close`), and to Unix stream sockets where they differ (unix(7);
//! net/unix/af_unix.c: `unix_poll`, `unix_release_sock`): there a peer that closes hangs up both
//! directions at once, with what it wrote still to be read, and without an error.
//!
//! Invariants: bytes keep their order; an end lands only behind all bytes of its direction; once
//! a reset has landed on either side, nothing moves any more.

use std::collections::VecDeque;

use super::faults::{DELAY_MAX, Faults};
use super::preamble::Layer;
use super::rng::Rng;
use crate::address::Address;
use crate::error::Errno;
use crate::kernel::{Io, Ready};

/// One connection.
pub(super) struct Link {
    /// The client's name, or for a dialled one the name that the server dialled.
    pub(super) address: Address,
    /// What has become of the server's end.
    pub(super) server: ServerEnd,
    pub(super) handshake: Handshake,
    /// What the client sends; `flying` is in flight, `landed` is the server's receive buffer.
    pub(super) to_server: Pipe,
    /// What the server sends; `flying` is its send buffer, `landed` is what the client has read.
    pub(super) to_client: Pipe,
    pub(super) reset: Reset,
    /// `SO_ERROR` of the server's socket.
    pub(super) error: Option<Errno>,
    /// How many bytes the server's send buffer holds.
    pub(super) window_bytes: usize,
    /// The server was told to wait for room (`SOCK_NOSPACE`), so room raises an edge.
    nospace: bool,
    pub(super) client: ClientEnd,
    /// Urgent marks (tcp(7), `MSG_OOB`): behind how many of the bytes that the server has not read
    /// each lies. A read does not pass one.
    marks: VecDeque<usize>,
    /// A Unix stream socket, and not TCP.
    is_unix: bool,
    /// The Unix peer's close has reached the server's socket.
    hung_up: bool,
    /// How many handles the test holds.
    pub(super) handles: usize,
    /// What must come before a session, if anything.
    pub(super) layer: Option<Layer>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ServerEnd {
    /// In a backlog.
    Waiting,
    /// Held by the socket with this index.
    Open(u32),
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClientEnd {
    Reads,
    Stalls,
    /// Closed in both directions; bytes that still come are answered with a reset.
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Handshake {
    /// The server has dialled; the test has not answered.
    Dialled,
    /// The test's yes is in flight.
    Answered,
    /// The test's no is in flight.
    Refused(Errno),
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reset {
    No,
    LeftClient,
    LeftServer,
    ReachedServer,
    ReachedClient,
}

/// One direction.
#[derive(Default)]
pub(super) struct Pipe {
    pub(super) flying: VecDeque<u8>,
    pub(super) landed: VecDeque<u8>,
    pub(super) end: Stage,
}

/// How far the end of a direction (FIN) has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Stage {
    #[default]
    Open,
    Sent,
    Landed,
}

impl Pipe {
    fn is_moving(&self) -> bool {
        !self.flying.is_empty() || self.end == Stage::Sent
    }

    /// Moves a piece, and the end behind the last one. Returns the bytes moved, and whether
    /// anything was.
    fn travel(&mut self, rng: &mut Rng, faults: &Faults) -> (usize, bool) {
        let mut moved = self.flying.len();
        if moved > 0 && rng.chance(faults.split) {
            moved = rng.piece(moved);
        }
        self.landed.extend(self.flying.drain(..moved));
        // A FIN may share a segment with the last bytes, or come in one of its own.
        let end_joins = moved == 0 || !rng.chance(faults.split);
        let ended = self.end == Stage::Sent && self.flying.is_empty() && end_joins;
        if ended {
            self.end = Stage::Landed;
        }
        (moved, moved > 0 || ended)
    }
}

impl Link {
    pub(super) fn new(address: Address, server: ServerEnd, window_bytes: usize) -> Link {
        let dialled = matches!(server, ServerEnd::Open(_));
        Link {
            server,
            handshake: if dialled { Handshake::Dialled } else { Handshake::Done },
            to_server: Pipe::default(),
            to_client: Pipe::default(),
            reset: Reset::No,
            error: None,
            window_bytes,
            nospace: false,
            client: ClientEnd::Reads,
            marks: VecDeque::new(),
            is_unix: matches!(address, Address::Unix(_)),
            hung_up: false,
            address,
            handles: 1,
            layer: None,
        }
    }

    /// Moves the connection on. Returns whether the server's poller is woken by it.
    pub(super) fn step(&mut self, rng: &mut Rng, faults: &Faults) -> bool {
        if rng.chance(faults.delay.min(DELAY_MAX)) {
            return false;
        }
        let mut woken = self.end_handshake();
        self.carry_to_client(rng, faults);
        woken |= self.carry_to_server(rng, faults);
        woken |= self.carry_reset(rng, faults);
        woken |= self.make_room();
        woken && matches!(self.server, ServerEnd::Open(_))
    }

    fn end_handshake(&mut self) -> bool {
        match self.handshake {
            Handshake::Answered => self.handshake = Handshake::Done,
            Handshake::Refused(errno) => {
                self.handshake = Handshake::Done;
                self.tear(errno);
            }
            Handshake::Dialled | Handshake::Done => return false,
        }
        true
    }

    /// Drains the server's send buffer as far as the client reads.
    fn carry_to_client(&mut self, rng: &mut Rng, faults: &Faults) {
        let torn = matches!(self.reset, Reset::ReachedServer | Reset::ReachedClient);
        if torn || self.client == ClientEnd::Stalls {
            return;
        }
        let (bytes, _) = self.to_client.travel(rng, faults);
        if self.client == ClientEnd::Gone {
            self.to_client.landed.truncate(self.to_client.landed.len() - bytes);
            if bytes > 0 && self.reset == Reset::No && !self.is_unix {
                self.reset = Reset::LeftClient;
            }
        }
    }

    /// The client takes at most so many bytes at once.
    pub(super) fn carry(&mut self, bytes: usize) {
        let bytes = bytes.min(self.to_client.flying.len());
        self.to_client.landed.extend(self.to_client.flying.drain(..bytes));
    }

    fn carry_to_server(&mut self, rng: &mut Rng, faults: &Faults) -> bool {
        if !matches!(self.reset, Reset::No | Reset::LeftClient) {
            return false;
        }
        let (bytes, moved) = self.to_server.travel(rng, faults);
        if self.server != ServerEnd::Closed {
            if bytes > 0 && !self.is_unix && rng.chance(faults.urgent) {
                self.marks.push_back(self.to_server.landed.len() - rng.below(bytes));
            }
            return moved | self.hang_up();
        }
        // Nobody is left to read them: Linux answers with a reset (TCPABORTONDATA).
        self.to_server.landed.clear();
        if bytes > 0 {
            self.send_reset();
        }
        false
    }

    /// A Unix peer that has closed has hung up both directions once its last byte is here.
    fn hang_up(&mut self) -> bool {
        let hangs_up = self.is_about_to_hang_up();
        if hangs_up {
            self.hung_up = true;
            self.to_client.flying.clear();
        }
        hangs_up
    }

    fn is_about_to_hang_up(&self) -> bool {
        self.is_unix
            && !self.hung_up
            && self.server != ServerEnd::Closed
            && self.client == ClientEnd::Gone
            && self.to_server.end == Stage::Landed
    }

    /// Puts an urgent mark behind all that the client has sent.
    pub(super) fn mark_urgent(&mut self) {
        self.marks.push_back(self.to_server.landed.len() + self.to_server.flying.len());
    }

    fn carry_reset(&mut self, rng: &mut Rng, faults: &Faults) -> bool {
        match self.reset {
            Reset::LeftClient => {
                if rng.chance(faults.lost_before_reset) {
                    self.to_server.flying.clear();
                }
                if !self.to_server.flying.is_empty() {
                    return false;
                }
                // tcp_reset: in CLOSE_WAIT it is EPIPE.
                let half_closed = self.to_server.end == Stage::Landed && !self.we_finished();
                self.tear(if half_closed { Errno::PIPE } else { Errno::CONNRESET });
                true
            }
            Reset::LeftServer => {
                if self.client != ClientEnd::Reads || rng.chance(faults.lost_before_reset) {
                    self.to_client.flying.clear();
                }
                if self.to_client.flying.is_empty() {
                    self.to_server.flying.clear();
                    self.reset = Reset::ReachedClient;
                }
                false
            }
            Reset::No | Reset::ReachedServer | Reset::ReachedClient => false,
        }
    }

    /// A reset, or a refusal, has reached the server: what it had still to send is gone.
    fn tear(&mut self, errno: Errno) {
        self.reset = Reset::ReachedServer;
        self.client = ClientEnd::Gone;
        self.error = Some(errno);
        self.to_client.flying.clear();
    }

    fn make_room(&mut self) -> bool {
        let woken = self.owes_an_edge();
        if woken {
            self.nospace = false;
        }
        woken
    }

    fn owes_an_edge(&self) -> bool {
        self.nospace && self.has_room() && matches!(self.server, ServerEnd::Open(_))
    }

    /// Whether a step could change anything.
    pub(super) fn is_moving(&self) -> bool {
        if matches!(self.handshake, Handshake::Answered | Handshake::Refused(_)) {
            return true;
        }
        match self.reset {
            Reset::LeftClient | Reset::LeftServer => true,
            Reset::ReachedServer | Reset::ReachedClient => false,
            Reset::No => {
                self.to_server.is_moving()
                    || self.client != ClientEnd::Stalls && self.to_client.is_moving()
                    || self.owes_an_edge()
                    || self.is_about_to_hang_up()
            }
        }
    }

    /// Whether nobody can ever ask about this connection again.
    pub(super) fn is_forgotten(&self) -> bool {
        self.handles == 0 && self.server == ServerEnd::Closed && !self.is_moving()
    }

    /// Whether the server's socket is past its handshake.
    pub(super) fn is_connected(&self) -> bool {
        self.handshake == Handshake::Done
    }

    /// Whether the connection is over for the server's socket.
    pub(super) fn is_torn(&self) -> bool {
        self.reset == Reset::ReachedServer
    }

    fn we_finished(&self) -> bool {
        self.to_client.end != Stage::Open
    }

    fn free_bytes(&self) -> usize {
        self.window_bytes.saturating_sub(self.to_client.flying.len())
    }

    /// What the server has written and the peer has not taken (`SIOCOUTQ`).
    pub(super) fn outstanding(&self) -> usize {
        self.to_client.flying.len()
    }

    /// `sk_stream_is_writeable`: a third of the send buffer is free, so that a writer is not woken
    /// for crumbs.
    fn has_room(&self) -> bool {
        let free = self.free_bytes();
        free > 0 && free >= self.to_client.flying.len() / 2
    }

    /// The true readiness of the server's socket, as `tcp_poll` would tell it.
    pub(super) fn readiness(&self) -> u32 {
        if !self.is_connected() {
            return 0;
        }
        let peer_finished = self.is_torn() || self.to_server.end == Stage::Landed;
        let we_finished = self.is_torn() || self.we_finished() || self.hung_up;
        let mut flags = 0;
        if peer_finished {
            flags |= Ready::READABLE | Ready::PEER_FINISHED;
        }
        if !self.to_server.landed.is_empty() || self.keeps_bytes() {
            flags |= Ready::READABLE;
        }
        if self.marks.front().is_some_and(|mark| *mark <= self.to_server.landed.len()) {
            flags |= Ready::URGENT;
        }
        if we_finished || self.has_room() {
            flags |= Ready::WRITABLE;
        }
        if self.error.is_some() {
            flags |= Ready::ERROR;
        }
        if peer_finished && we_finished {
            flags |= Ready::HANGUP;
        }
        flags
    }

    /// The server reads up to `asked` bytes; `take` gets them in order.
    pub(super) fn recv(&mut self, asked: usize, mut take: impl FnMut(&[u8])) -> Io {
        let to_the_mark = self.marks.front().map_or(asked, |mark| asked.min(*mark));
        let bytes = to_the_mark.min(self.to_server.landed.len());
        if bytes > 0 {
            self.marks.iter_mut().for_each(|mark| *mark -= bytes);
            self.marks.retain(|mark| *mark > 0);
            let (front, back) = self.to_server.landed.as_slices();
            let cut = bytes.min(front.len());
            take(&front[..cut]);
            take(&back[..bytes - cut]);
            self.to_server.landed.drain(..bytes);
            return Io::Done(bytes);
        }
        // SOCK_DONE is looked at before sk_err: after a FIN, a reset does not turn the end into an
        // error.
        if self.to_server.end == Stage::Landed {
            return Io::Finished;
        }
        match self.error.take() {
            Some(errno) => Io::Failed(errno),
            None if self.is_torn() => Io::Finished,
            None => Io::WouldBlock,
        }
    }

    /// The server writes `bytes` bytes, of which this call may take at most `allowed`. What is
    /// [`Io::Done`] the caller must [`Link::queue`].
    pub(super) fn send(&mut self, bytes: usize, allowed: usize) -> Io {
        if let Some(errno) = self.error.take() {
            return Io::Failed(errno);
        }
        if self.is_torn() || self.we_finished() || self.hung_up {
            return Io::Failed(Errno::PIPE);
        }
        if !self.is_connected() {
            return Io::WouldBlock;
        }
        let taken = bytes.min(allowed).min(self.free_bytes());
        self.nospace |= taken < bytes;
        if taken == 0 { Io::WouldBlock } else { Io::Done(taken) }
    }

    /// Puts bytes into the server's send buffer.
    pub(super) fn queue(&mut self, bytes: &[u8]) {
        self.to_client.flying.extend(bytes);
    }

    /// The server ends its direction.
    pub(super) fn finish(&mut self) {
        if !self.is_torn() && self.to_client.end == Stage::Open {
            self.to_client.end = Stage::Sent;
        }
    }

    /// The server closes its socket, or hangs up on a caller in the backlog.
    pub(super) fn close(&mut self, by_reset: bool) {
        self.server = ServerEnd::Closed;
        if self.is_torn() {
            return;
        }
        // tcp_close: unread bytes turn a polite end into a reset. So does a handshake that is still
        // open.
        if by_reset || !self.to_server.landed.is_empty() || !self.is_connected() {
            self.handshake = Handshake::Done;
            self.send_reset();
        } else {
            self.finish();
        }
    }

    fn send_reset(&mut self) {
        if self.reset == Reset::No {
            self.reset = Reset::LeftServer;
        }
    }
}
