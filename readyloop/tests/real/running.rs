//! The server that every test here talks to, and what a client does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use readyloop::framers::{LengthPrefixed, Order, Prefix};
use readyloop::{
    Accepting, Address, Balance, Builder, CloseReason, Context, FdTables, Handler, Peer, Poller,
    Remote, Server, SessionId, Topology, Trigger,
};

/// How a server works.
pub type How = (Topology, Poller, Trigger);

pub const HANDOFF: Topology =
    Topology::Multi { reactors: 2, accept: Accepting::Handoff(Balance::RoundRobin) };
pub const SHARED: Topology =
    Topology::Multi { reactors: 2, accept: Accepting::ReusePort(FdTables::shared()) };
#[allow(unsafe_code)]
pub const PER_REACTOR: Topology = {
    // SAFETY: no handler here opens a descriptor.
    let tables = unsafe { FdTables::per_reactor() };
    Topology::Multi { reactors: 3, accept: Accepting::ReusePort(tables) }
};

pub const WORKERS: Topology =
    Topology::Workers { workers: 2, reactors: 1, accept: Accepting::Handoff(Balance::RoundRobin) };

pub const POOL: Topology =
    Topology::Workers { workers: 2, reactors: 2, accept: Accepting::Handoff(Balance::RoundRobin) };

pub const COMBINATIONS: [How; 14] = [
    (Topology::Single, Poller::Epoll, Trigger::Level),
    (Topology::Single, Poller::Epoll, Trigger::Edge),
    (Topology::Single, Poller::Poll, Trigger::Level),
    (Topology::Single, Poller::Select, Trigger::Level),
    (HANDOFF, Poller::Epoll, Trigger::Level),
    (HANDOFF, Poller::Epoll, Trigger::Edge),
    (HANDOFF, Poller::Poll, Trigger::Level),
    (SHARED, Poller::Epoll, Trigger::Edge),
    (PER_REACTOR, Poller::Epoll, Trigger::Level),
    (WORKERS, Poller::Epoll, Trigger::Level),
    (WORKERS, Poller::Epoll, Trigger::Edge),
    (WORKERS, Poller::Poll, Trigger::Level),
    (POOL, Poller::Epoll, Trigger::Level),
    (POOL, Poller::Epoll, Trigger::Edge),
];

pub const SOON: Duration = Duration::from_secs(20);
pub const FRAMING: LengthPrefixed = LengthPrefixed::new(Prefix::Four, Order::Big, 16 << 20);

/// What the handler tells the test.
#[derive(Debug)]
pub enum Fact {
    Open(SessionId),
    /// A frame from the server that was dialled.
    Answer(Vec<u8>),
    Close(CloseReason),
}

/// Answers each caller's frame with itself. May dial another server when it starts.
pub struct Echo {
    dial: Option<Address>,
    facts: Sender<Fact>,
}

/// A session knows whether it was dialled.
pub struct Dialled(bool);

impl Echo {
    fn tell(&self, fact: Fact) {
        let _nobody_listens = self.facts.send(fact);
    }
}

impl Handler for Echo {
    type Framer = LengthPrefixed;
    type Session = Dialled;

    fn on_start(&mut self, context: &mut Context<'_>) {
        if let Some(address) = &self.dial {
            let id = context.connect(address, SOON).unwrap();
            context.send_to(id, &framed(b"asked before the answer"));
        }
    }

    fn on_open(&mut self, peer: &Peer, context: &mut Context<'_>) -> (LengthPrefixed, Dialled) {
        self.tell(Fact::Open(context.id()));
        (FRAMING, Dialled(peer.listener.is_none()))
    }

    fn on_frame(&mut self, dialled: &mut Dialled, frame: &[u8], context: &mut Context<'_>) {
        if dialled.0 {
            return self.tell(Fact::Answer(frame.to_vec()));
        }
        context.send(FRAMING.encode(frame.len()).unwrap().as_slice());
        context.send(frame);
    }

    fn on_close(&mut self, _: Dialled, reason: CloseReason, _: &mut Context<'_>) {
        self.tell(Fact::Close(reason));
    }

    fn on_connect_failed(&mut self, _: SessionId, reason: CloseReason, _: &mut Context<'_>) {
        self.tell(Fact::Close(reason));
    }
}

/// A server in a thread of its own; stopped and joined when it is dropped.
pub struct Running {
    pub address: Address,
    pub remote: Remote,
    facts: Receiver<Fact>,
    thread: Option<JoinHandle<readyloop::Result<()>>>,
}

impl Running {
    pub fn serve(how: How) -> Running {
        Running::serve_at("127.0.0.1:0", how, None)
    }

    pub fn serve_at(at: &str, how: How, dial: Option<Address>) -> Running {
        println!("{how:?}");
        let (topology, poller, trigger) = how;
        let builder = Server::builder().listen(at).poller(poller).trigger(trigger);
        Running::serve_as(builder.topology(topology), dial)
    }

    pub fn serve_as(builder: Builder, dial: Option<Address>) -> Running {
        let (sender, facts) = channel();
        let (bound, when_bound) = channel();
        let thread = Some(spawn(move || {
            let server = builder.bind()?;
            let addressed = (server.addresses()[0].clone(), server.remote());
            let server = server.on_ready(move || bound.send(addressed).unwrap());
            server.run(|thread| {
                let dial = dial.clone().filter(|_| thread == 0);
                Echo { dial, facts: sender.clone() }
            })
        }));
        let (address, remote) = when_bound.recv_timeout(SOON).unwrap();
        Running { address, remote, facts, thread }
    }

    pub fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(tcp(&self.address)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    pub fn fact(&self) -> Fact {
        self.facts.recv_timeout(SOON).unwrap()
    }

    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.remote.stop();
        if !std::thread::panicking() {
            self.join();
        }
    }
}

pub fn tcp(address: &Address) -> SocketAddr {
    let Address::Tcp(address) = address else { panic!("not TCP") };
    *address
}

pub fn framed(frame: &[u8]) -> Vec<u8> {
    [FRAMING.encode(frame.len()).unwrap().as_slice(), frame].concat()
}

pub fn read_frame(stream: &mut impl Read) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).unwrap();
    frame
}

pub fn assert_echoes(stream: &mut (impl Read + Write), frame: &[u8]) {
    stream.write_all(&framed(frame)).unwrap();
    assert!(read_frame(stream) == frame, "another frame of {} bytes came back", frame.len());
}

/// Bytes that are not the same anywhere near.
pub fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
