//! The public API on real sockets, with every poller and trigger: the reactor in one thread, plain
//! blocking clients in others.
//!
//! Nothing sleeps: a client's read ends by an answer, or fails the test after 20 s.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use readyloop::framers::{LengthPrefixed, Order, Prefix};
use readyloop::{
    Address, Builder, CloseReason, Context, Handler, Limits, Peer, Poller, Refused, Remote, Server,
    SessionId, Trigger,
};
use rustix::net::sockopt::set_socket_linger;

const COMBINATIONS: [(Poller, Trigger); 4] = [
    (Poller::Epoll, Trigger::Level),
    (Poller::Epoll, Trigger::Edge),
    (Poller::Poll, Trigger::Level),
    (Poller::Select, Trigger::Level),
];

const SOON: Duration = Duration::from_secs(20);
const FRAMING: LengthPrefixed = LengthPrefixed::new(Prefix::Four, Order::Big, 16 << 20);

/// What the handler tells the test.
#[derive(Debug)]
enum Fact {
    Open(SessionId),
    /// A frame from the server that was dialled.
    Answer(Vec<u8>),
    Close(CloseReason),
}

/// Answers each caller's frame with itself. May dial another server when it starts.
struct Echo {
    dial: Option<Address>,
    facts: Sender<Fact>,
}

/// A session knows whether it was dialled.
struct Dialled(bool);

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
            assert!(context.send_to(id, &framed(b"asked before the answer")));
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
struct Running {
    address: Address,
    remote: Remote,
    facts: Receiver<Fact>,
    thread: Option<JoinHandle<readyloop::Result<()>>>,
}

impl Running {
    fn serve((poller, trigger): (Poller, Trigger)) -> Running {
        Running::serve_at("127.0.0.1:0", poller, trigger, None)
    }

    fn serve_at(at: &str, poller: Poller, trigger: Trigger, dial: Option<Address>) -> Running {
        println!("{poller}, {trigger:?}");
        let builder = Server::builder().listen(at).poller(poller).trigger(trigger);
        Running::serve_as(builder, dial)
    }

    fn serve_as(builder: Builder, dial: Option<Address>) -> Running {
        let (sender, facts) = channel();
        let (bound, when_bound) = channel();
        let thread = Some(spawn(move || {
            let server = builder.bind()?;
            bound.send((server.addresses()[0].clone(), server.remote())).unwrap();
            server.run(|_| Echo { dial: dial.clone(), facts: sender.clone() })
        }));
        let (address, remote) = when_bound.recv_timeout(SOON).unwrap();
        Running { address, remote, facts, thread }
    }

    fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(tcp(&self.address)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn fact(&self) -> Fact {
        self.facts.recv_timeout(SOON).unwrap()
    }

    fn join(&mut self) {
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

fn tcp(address: &Address) -> SocketAddr {
    let Address::Tcp(address) = address else { panic!("not TCP") };
    *address
}

fn framed(frame: &[u8]) -> Vec<u8> {
    [FRAMING.encode(frame.len()).unwrap().as_slice(), frame].concat()
}

fn read_frame(stream: &mut impl Read) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).unwrap();
    frame
}

fn assert_echoes(stream: &mut (impl Read + Write), frame: &[u8]) {
    stream.write_all(&framed(frame)).unwrap();
    assert!(read_frame(stream) == frame, "another frame of {} bytes came back", frame.len());
}

/// Bytes that are not the same anywhere near.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn a_frame_that_comes_byte_by_byte_is_answered_whole() {
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut client = server.dial();
        for byte in framed(&pattern(100)) {
            client.write_all(&[byte]).unwrap();
        }
        assert_eq!(read_frame(&mut client), pattern(100));
    }
}

#[test]
fn a_frame_of_ten_megabytes_comes_back() {
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut client = server.dial();
        assert_echoes(&mut client, &pattern(10_000_000));
        assert_echoes(&mut client, b"and a short one");
    }
}

#[test]
fn two_hundred_clients_are_served_at_once() {
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut clients: Vec<TcpStream> = (0..200).map(|_| server.dial()).collect();
        for round in 0..3u32 {
            for (number, client) in clients.iter_mut().enumerate() {
                client.write_all(&framed(format!("{number} {round}").as_bytes())).unwrap();
            }
            for (number, client) in clients.iter_mut().enumerate() {
                assert_eq!(read_frame(client), format!("{number} {round}").as_bytes());
            }
        }
    }
}

#[test]
fn a_unix_socket_serves_and_its_file_goes_with_it() {
    for (nth, (poller, trigger)) in COMBINATIONS.into_iter().enumerate() {
        let name = format!("readyloop-real-{}-{nth}", std::process::id());
        let path: PathBuf = std::env::temp_dir().join(name);
        let server = Running::serve_at(&format!("unix:{}", path.display()), poller, trigger, None);
        let mut client = UnixStream::connect(&path).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        assert_echoes(&mut client, &pattern(300_000));
        server.remote.stop();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        drop((client, server));
        assert!(!path.exists());
    }
}

#[test]
fn a_server_that_dials_another_gets_its_answer() {
    for (poller, trigger) in COMBINATIONS {
        let asked = Running::serve((poller, trigger));
        let to = Some(asked.address.clone());
        let asking = Running::serve_at("127.0.0.1:0", poller, trigger, to);
        assert!(matches!(asking.fact(), Fact::Open(_)));
        let Fact::Answer(answer) = asking.fact() else { panic!("no answer") };
        assert_eq!(answer, b"asked before the answer");
        // Callers are served beside the dialled session.
        assert_echoes(&mut asking.dial(), b"hi");
    }
}

#[test]
fn mails_of_four_threads_all_arrive_each_threads_in_order() {
    const MAILS: u32 = 1000;
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut client = server.dial();
        let Fact::Open(id) = server.fact() else { panic!("not opened") };
        let writers: Vec<JoinHandle<()>> = (0..4u8)
            .map(|writer| {
                let remote = server.remote.clone();
                spawn(move || {
                    for number in 0..MAILS {
                        let mail = [&[writer][..], &number.to_be_bytes()].concat();
                        remote.send(id, framed(&mail)).unwrap();
                    }
                })
            })
            .collect();
        let mut next = [0; 4];
        for _ in 0..4 * MAILS {
            let mail = read_frame(&mut client);
            let (writer, number) = mail.split_first().unwrap();
            let expected = &mut next[usize::from(*writer)];
            assert_eq!(u32::from_be_bytes(number.try_into().unwrap()), *expected);
            *expected += 1;
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(next, [MAILS; 4]);
    }
}

#[test]
fn a_mail_that_comes_while_older_ones_wait_is_not_forgotten() {
    let limits = Limits { mails_per_turn: 1, ..Limits::default() };
    let server = Running::serve_as(Server::builder().listen("127.0.0.1:0").limits(limits), None);
    let (done, when_done) = channel();
    let post = |name: u32| {
        let (go, when_to_go) = channel::<()>();
        let ((begin, has_begun), done) = (channel(), done.clone());
        let work = move |_: &mut Context<'_>| {
            let _nobody_waits = begin.send(());
            let _gone = when_to_go.recv_timeout(SOON);
            done.send(name).unwrap();
        };
        server.remote.run(work).unwrap();
        (go, has_begun)
    };
    let (go_first, first_has_begun) = post(1);
    first_has_begun.recv_timeout(SOON).unwrap();
    // Both are taken in one turn, and the fourth is posted while the second one is being handled.
    let ((go_second, second_has_begun), (go_third, _third)) = (post(2), post(3));
    drop(go_first);
    second_has_begun.recv_timeout(SOON).unwrap();
    let (go_last, _last) = post(4);
    drop((go_second, go_third, go_last));
    for name in 1..=4 {
        assert_eq!(when_done.recv_timeout(SOON), Ok(name));
    }
}

#[test]
fn each_mail_wakes_a_reactor_that_sleeps() {
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut client = server.dial();
        let Fact::Open(id) = server.fact() else { panic!("not opened") };
        for number in 0..200u32 {
            server.remote.send(id, framed(&number.to_be_bytes())).unwrap();
            assert_eq!(read_frame(&mut client), number.to_be_bytes());
        }
    }
}

#[test]
fn a_stop_ends_the_run_and_every_session() {
    for combination in COMBINATIONS {
        let mut server = Running::serve(combination);
        let mut client = server.dial();
        let Fact::Open(id) = server.fact() else { panic!("not opened") };
        assert_echoes(&mut client, b"hi");
        server.remote.stop();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        drop(client);
        server.join();
        assert!(matches!(server.fact(), Fact::Close(CloseReason::Stopped)));
        assert_eq!(server.remote.send(id, "late"), Err(Refused::Stopped));
        assert!(TcpStream::connect(tcp(&server.address)).is_err());
    }
}

#[test]
fn a_client_that_has_finished_gets_every_answer_and_then_the_end() {
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut client = server.dial();
        let questions: Vec<u8> = (0..1000).flat_map(|n| framed(&pattern(n))).collect();
        let mut writer = client.try_clone().unwrap();
        let copy = questions.clone();
        let writing = spawn(move || {
            writer.write_all(&copy).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).unwrap();
        assert!(answers == questions, "{} of {} bytes", answers.len(), questions.len());
        writing.join().unwrap();
        assert!(matches!(server.fact(), Fact::Open(_)));
        assert!(matches!(server.fact(), Fact::Close(CloseReason::PeerFinished)));
    }
}

#[test]
fn a_peer_that_resets_in_the_middle_leaves_the_others_served() {
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut others: Vec<TcpStream> = (0..3).map(|_| server.dial()).collect();
        others.iter_mut().for_each(|other| assert_echoes(other, b"before"));
        let mut rude = server.dial();
        assert_echoes(&mut rude, b"hi");
        rude.write_all(&framed(&pattern(1000))[..500]).unwrap();
        set_socket_linger(&rude, Some(Duration::ZERO)).unwrap();
        drop(rude);
        for _ in 0..4 {
            assert!(matches!(server.fact(), Fact::Open(_)));
        }
        let closed = server.fact();
        assert!(matches!(closed, Fact::Close(CloseReason::PeerReset)), "{closed:?}");
        others.iter_mut().for_each(|other| assert_echoes(other, b"after"));
    }
}
