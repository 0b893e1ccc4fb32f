//! A server that runs out of descriptors: who is inside is served, who is not is hung up on, and
//! the processor rests.
//!
//! It has a binary to itself, because the limit and the descriptors belong to the whole process.
//! The callers live in the same process: they connect before the limit is lowered, while the
//! server listens and does not run yet.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use readyloop::{
    Address, Context, Errno, Handler, Incident, Peer, Poller, Raw, Remote, Server, Stats, Trigger,
};
use rustix::net::{AddressFamily, SocketType, connect, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

const COMBINATIONS: [(Poller, Trigger); 4] = [
    (Poller::Epoll, Trigger::Level),
    (Poller::Epoll, Trigger::Edge),
    (Poller::Poll, Trigger::Level),
    (Poller::Select, Trigger::Level),
];

const CALLERS: usize = 50;
/// Descriptors that are left when all callers have connected: one for each session.
const ROOM: usize = 16;
/// Callers that come when there is no room any more.
const LATE: usize = 4;
const SOON: Duration = Duration::from_secs(20);

struct Echo;

impl Handler for Echo {
    type Framer = Raw;
    type Session = ();

    fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Raw, ()) {
        (Raw, ())
    }

    fn on_frame(&mut self, _: &mut (), bytes: &[u8], context: &mut Context<'_>) {
        context.send(bytes);
    }
}

/// A server in a thread of its own, which listens at once and runs when it is told to. Its turns
/// are counted where others can read them.
struct Listening {
    address: Address,
    remote: Remote,
    turns: Arc<AtomicU64>,
    go: Sender<()>,
    incidents: Receiver<Incident>,
    thread: JoinHandle<Stats>,
}

fn listen(poller: Poller, trigger: Trigger) -> Listening {
    let turns = Arc::new(AtomicU64::new(0));
    let counter = turns.clone();
    let (bound, when_bound) = channel();
    let (go, when_to_go) = channel();
    let (happened, incidents) = channel();
    let builder = Server::builder()
        .listen("127.0.0.1:0")
        .poller(poller)
        .trigger(trigger)
        .on_incident(move |incident| happened.send(incident).unwrap());
    let thread = spawn(move || {
        let server = builder.bind().unwrap();
        bound.send((server.addresses()[0].clone(), server.remote())).unwrap();
        when_to_go.recv().unwrap();
        let mut reactor = server.reactor(Echo).unwrap();
        while reactor.turn().unwrap() {
            counter.store(reactor.stats().turns, Ordering::Relaxed);
        }
        reactor.stats().clone()
    });
    let (address, remote) = when_bound.recv_timeout(SOON).unwrap();
    Listening { address, remote, turns, go, incidents, thread }
}

/// The listener rests many times a second, and an operator reads of it once in ten.
fn assert_told_in_few_words(incidents: &Receiver<Incident>, rests_in_all: u64) {
    let rests = Incident::ListenerRests { listener: 0, errno: Errno::MFILE };
    let told: Vec<Incident> = incidents.try_iter().collect();
    assert_eq!(told[0], rests);
    assert!(matches!(told[1], Incident::Draining { .. }), "{told:?}");
    let Incident::Repeated { last, count } = &told[2] else { panic!("{told:?}") };
    assert!(**last == rests && *count + 1 == rests_in_all, "{told:?}");
    assert!(matches!(told[3..], [Incident::Ended { .. }]), "{told:?}");
}

fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// A caller that has its descriptor already, and calls later.
fn unconnected() -> TcpStream {
    socket(AddressFamily::INET, SocketType::STREAM, None).unwrap().into()
}

/// Whether the server answers. Otherwise it has hung up; to be silent is neither.
fn is_served(mut caller: &TcpStream) -> bool {
    // A caller that was hung up on may learn of it here.
    let _hung_up = caller.write_all(b"ping");
    let mut answer = [0; 4];
    match caller.read_exact(&mut answer) {
        Ok(()) => answer == *b"ping",
        Err(error) => {
            let hung_up = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
            assert!(hung_up.contains(&error.kind()), "{error}");
            false
        }
    }
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// From now on `room` more descriptors can be opened above `highest`, the highest one that is open.
fn limit_descriptors(highest: i32, room: usize) {
    let current = Some(highest as u64 + 1 + room as u64);
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// How long the whole process has computed.
fn computed() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// One caller after another, while nobody has room: each waits until the listener has rested, and
/// the server sleeps meanwhile.
fn assert_rests_while_full(server: &Listening, to: SocketAddr, late: &[TcpStream]) {
    let (begin, turns, busy) = (Instant::now(), server.turns.load(Ordering::Relaxed), computed());
    for caller in late {
        connect(caller, &to).unwrap();
        caller.set_read_timeout(Some(SOON)).unwrap();
        assert!(!is_served(caller), "there is no room");
    }
    let turns = server.turns.load(Ordering::Relaxed) - turns;
    let (busy, elapsed) = (computed() - busy, begin.elapsed());
    // Each caller finds a listener that rests, and is looked for when the rest is over.
    assert!(turns <= 4 * late.len() as u64, "{turns} turns in {elapsed:?}");
    assert!(busy < elapsed / 3, "computed for {busy:?} in {elapsed:?}");
}

fn out_of_descriptors(poller: Poller, trigger: Trigger) {
    let before = open_descriptors();
    let server = listen(poller, trigger);
    let Address::Tcp(address) = server.address else { panic!("not TCP") };
    let callers: Vec<TcpStream> = (0..CALLERS).map(|_| dial(address)).collect();
    let late: Vec<TcpStream> = (0..LATE).map(|_| unconnected()).collect();
    let highest = callers.iter().chain(&late).map(AsRawFd::as_raw_fd).max().unwrap();
    limit_descriptors(highest, ROOM);
    server.go.send(()).unwrap();

    let (mut inside, outside): (Vec<_>, Vec<_>) = callers.into_iter().partition(is_served);
    assert_eq!((inside.len(), outside.len()), (ROOM, CALLERS - ROOM));
    assert_rests_while_full(&server, address, &late);
    assert!(inside.iter().all(is_served), "those inside are served as before");

    // Each one that leaves gives back two: a caller's and its session's.
    inside.truncate(ROOM / 2);
    let new: Vec<TcpStream> = (0..ROOM / 4).map(|_| dial(address)).collect();
    assert!(new.iter().all(is_served), "there is room again");
    assert!(inside.iter().all(is_served));

    drop((inside, outside, late, new));
    server.remote.stop();
    let stats = server.thread.join().unwrap();
    assert_told_in_few_words(&server.incidents, stats.listener_rests);
    assert_eq!(stats.refused_by_descriptors, (CALLERS - ROOM + LATE) as u64);
    assert_eq!(stats.opened, (ROOM + ROOM / 4) as u64);
    assert_eq!(stats.closed_total(), stats.opened);
    drop(server.remote);
    assert_eq!(open_descriptors(), before, "descriptors leak");
}

#[test]
fn a_server_without_descriptors_hangs_up_on_callers_and_serves_the_others() {
    let generous = getrlimit(Resource::Nofile);
    for (poller, trigger) in COMBINATIONS {
        println!("{poller}, {trigger:?}");
        out_of_descriptors(poller, trigger);
        setrlimit(Resource::Nofile, generous).unwrap();
    }
}
