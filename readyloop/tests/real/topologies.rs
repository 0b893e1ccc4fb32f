//! Several threads: where sessions are born, how they reach each other, what dies with whom.

use std::collections::HashSet;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{scope, spawn};
use std::time::Duration;

use readyloop::framers::LengthPrefixed;
use readyloop::{
    Accepting, Balance, Context, Group, Handler, Incident, Limits, Peer, Server, SessionId,
    SlowMember, Topology,
};
use rustix::net::sockopt::set_socket_linger;

use super::running::*;

fn multi(reactors: usize, balance: Balance) -> Topology {
    Topology::Multi { reactors, accept: Accepting::Handoff(balance) }
}

fn serve(topology: Topology) -> Running {
    Running::serve_as(Server::builder().listen("127.0.0.1:0").topology(topology), None)
}

/// A caller that has been served, and its session's name.
fn caller(server: &Running) -> (TcpStream, SessionId) {
    let mut client = server.dial();
    assert_echoes(&mut client, b"hi");
    let Fact::Open(id) = server.fact() else { panic!("not opened") };
    (client, id)
}

#[test]
fn round_robin_gives_each_reactor_its_turn() {
    let server = serve(multi(3, Balance::RoundRobin));
    let callers: Vec<_> = (0..6).map(|_| caller(&server)).collect();
    let homes: Vec<u8> = callers.iter().map(|(_, id)| id.reactor()).collect();
    assert_eq!(homes, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn least_sessions_fills_the_gap() {
    let server = serve(multi(2, Balance::LeastSessions));
    let callers: Vec<_> = (0..4).map(|_| caller(&server)).collect();
    let (on_one, on_zero): (Vec<_>, Vec<_>) =
        callers.into_iter().partition(|(_, id)| id.reactor() == 1);
    assert_eq!((on_zero.len(), on_one.len()), (2, 2));
    drop(on_one);
    (0..2).for_each(|_| assert!(matches!(server.fact(), Fact::Close(_))));
    let later: Vec<_> = (0..2).map(|_| caller(&server)).collect();
    assert!(later.iter().all(|(_, id)| id.reactor() == 1), "{later:?}");
}

#[test]
fn source_hash_keeps_an_address_on_one_reactor() {
    let server = serve(multi(4, Balance::SourceHash));
    let callers: Vec<_> = (0..8).map(|_| caller(&server)).collect();
    let homes: HashSet<u8> = callers.iter().map(|(_, id)| id.reactor()).collect();
    assert_eq!(homes.len(), 1);
}

#[test]
fn the_limits_count_the_whole_server() {
    for topology in [HANDOFF, SHARED, PER_REACTOR] {
        let limits = Limits { sessions_max: 3, ..Limits::default() };
        let builder = Server::builder().listen("127.0.0.1:0").topology(topology).limits(limits);
        let server = Running::serve_as(builder, None);
        let callers: Vec<_> = (0..3).map(|_| caller(&server)).collect();
        let mut refused = server.dial();
        let said = refused.read(&mut [0; 8]);
        assert!(!matches!(said, Ok(1..)), "{topology:?}: {said:?}");
        drop(callers);
    }
}

#[test]
fn a_late_mail_of_another_thread_reaches_nobody_after_its_slot_was_reused() {
    for how in COMBINATIONS {
        let server = Running::serve(how);
        let (old, old_id) = caller(&server);
        set_socket_linger(&old, Some(Duration::ZERO)).unwrap();
        drop(old);
        assert!(matches!(server.fact(), Fact::Close(_)));
        // Until somebody has the slot of the one that is gone.
        let mut others = Vec::new();
        let (mut new, new_id) = loop {
            let (client, id) = caller(&server);
            if (id.reactor(), id.index()) == (old_id.reactor(), old_id.index()) {
                break (client, id);
            }
            others.push(client);
        };
        assert_ne!(old_id, new_id);
        spawn({
            let remote = server.remote.clone();
            move || {
                remote.send(old_id, framed(b"for the old one")).unwrap();
                remote.close(old_id).unwrap();
                remote.abort(old_id).unwrap();
                remote.send(new_id, framed(b"for the new one")).unwrap();
            }
        })
        .join()
        .unwrap();
        assert_eq!(read_frame(&mut new), b"for the new one");
        assert_echoes(&mut new, b"and it lives");
    }
}

/// Each session's frames go to the session that was opened before it, wherever that lives.
struct Relay {
    opened: Arc<Mutex<Vec<SessionId>>>,
    ready: Sender<()>,
}

impl Handler for Relay {
    type Framer = LengthPrefixed;
    type Session = Option<SessionId>;

    fn on_open(
        &mut self,
        _: &Peer,
        context: &mut Context<'_>,
    ) -> (LengthPrefixed, Option<SessionId>) {
        let mut opened = self.opened.lock().unwrap();
        let before = opened.last().copied();
        opened.push(context.id());
        self.ready.send(()).unwrap();
        (FRAMING, before)
    }

    fn on_frame(&mut self, to: &mut Option<SessionId>, frame: &[u8], context: &mut Context<'_>) {
        match to {
            Some(to) => context.send_to(*to, &framed(frame)),
            None => assert!(context.send(&framed(frame))),
        }
    }
}

#[test]
fn a_session_reaches_one_of_another_reactor_in_order_and_without_loss() {
    const FRAMES: u32 = 50_000;
    for topology in [HANDOFF, PER_REACTOR] {
        // A small mailbox: the one that is behind must push back.
        let limits = Limits { mailbox_mails_max: 4, mails_per_turn: 1, ..Limits::default() };
        let builder = Server::builder().listen("127.0.0.1:0").topology(topology).limits(limits);
        let server = builder.bind().unwrap();
        let (address, remote) = (tcp(&server.addresses()[0]), server.remote());
        let (ready, is_ready) = channel();
        let (bound, when_bound) = channel();
        let serving = spawn(move || {
            let opened = Arc::default();
            let server = server.on_ready(move || bound.send(()).unwrap());
            server.run(|_| Relay { opened: Arc::clone(&opened), ready: ready.clone() })
        });
        when_bound.recv_timeout(SOON).unwrap();
        let mut clients: Vec<TcpStream> = Vec::new();
        for _ in 0..4 {
            clients.push(TcpStream::connect(address).unwrap());
            is_ready.recv_timeout(SOON).unwrap();
        }
        let writers: Vec<_> = clients[1..]
            .iter()
            .map(|client| {
                let mut client = client.try_clone().unwrap();
                spawn(move || {
                    let stream: Vec<u8> =
                        (0..FRAMES).flat_map(|n| framed(&n.to_be_bytes())).collect();
                    client.write_all(&stream).unwrap();
                })
            })
            .collect();
        for client in &mut clients[..3] {
            client.set_read_timeout(Some(SOON)).unwrap();
            let mut reader = BufReader::new(client);
            for n in 0..FRAMES {
                assert_eq!(read_frame(&mut reader), n.to_be_bytes(), "{topology:?}");
            }
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        remote.stop();
        drop(clients);
        serving.join().unwrap().unwrap();
    }
}

#[test]
fn every_thread_of_a_server_says_what_it_did_when_it_ends() {
    let (sender, incidents) = channel();
    for topology in [Topology::Single, HANDOFF, SHARED, PER_REACTOR] {
        let sender = sender.clone();
        let builder = Server::builder().listen("127.0.0.1:0").topology(topology);
        let builder = builder.on_incident(move |incident| {
            if let Incident::Ended { stats } = incident {
                sender.send(stats.opened).unwrap();
            }
        });
        let mut server = Running::serve_as(builder, None);
        let callers: Vec<_> = (0..5).map(|_| caller(&server)).collect();
        server.remote.stop();
        drop(callers);
        server.join();
        let opened: u64 = incidents.try_iter().sum();
        assert_eq!(opened, 5, "{topology:?}: every thread has said what it did");
    }
}

#[test]
fn wait_calls_are_measured_where_that_is_asked_for() {
    for (topology, measures) in [(Topology::Single, true), (SHARED, true), (HANDOFF, false)] {
        let (sender, incidents) = channel();
        let builder = Server::builder().listen("127.0.0.1:0").topology(topology);
        let builder = builder.measure_waits(measures).on_incident(move |incident| {
            if let Incident::Ended { stats } = incident {
                sender.send((stats.turns, stats.waits.count())).unwrap();
            }
        });
        let mut server = Running::serve_as(builder, None);
        drop(caller(&server));
        server.remote.stop();
        server.join();
        let counts: Vec<(u64, u64)> = incidents.try_iter().collect();
        // The acceptor takes turns too, and its waits are nobody's bytes.
        let measured = counts.iter().filter(|(turns, waits)| *turns > 0 && waits == turns).count();
        let reactors = if topology == Topology::Single { 1 } else { 2 };
        assert_eq!(measured, if measures { reactors } else { 0 }, "{topology:?}: {counts:?}");
    }
}

/// Everybody is in one group, and every frame goes to all.
struct Everybody(Group);

impl Handler for Everybody {
    type Framer = LengthPrefixed;
    type Session = ();

    fn on_open(&mut self, _: &Peer, context: &mut Context<'_>) -> (LengthPrefixed, ()) {
        context.join(&self.0);
        (FRAMING, ())
    }

    fn on_frame(&mut self, _: &mut (), frame: &[u8], context: &mut Context<'_>) {
        context.broadcast(&self.0, framed(frame));
    }
}

/// Reads `count` frames of (sender, number), and checks that each sender's come in their order.
fn hear(client: &TcpStream, count: u32, senders: usize) {
    client.set_read_timeout(Some(SOON)).unwrap();
    let mut reader = BufReader::new(client);
    let mut next = vec![0; senders];
    for _ in 0..count {
        let frame = read_frame(&mut reader);
        let expected = &mut next[usize::from(frame[0])];
        assert_eq!(u32::from_be_bytes(frame[1..5].try_into().unwrap()), *expected);
        *expected += 1;
    }
}

#[test]
fn reactors_that_broadcast_to_each_other_at_full_speed_lose_nothing_and_never_lock() {
    const CLIENTS: usize = 6;
    const FRAMES: u32 = 2_000;
    for topology in [Topology::Single, HANDOFF, PER_REACTOR, WORKERS, POOL] {
        println!("{topology:?}");
        // Whoever orders while a reactor is behind is held after that one order.
        let limits = Limits { mailbox_mails_max: CLIENTS, mails_per_turn: 1, ..Limits::default() };
        let builder = Server::builder().listen("127.0.0.1:0").topology(topology).limits(limits);
        let server = builder.bind().unwrap();
        let (address, remote) = (tcp(&server.addresses()[0]), server.remote());
        let (bound, when_bound) = channel();
        let group = Group::new(SlowMember::PauseSender);
        let members = group.clone();
        let serving = spawn(move || {
            let server = server.on_ready(move || bound.send(()).unwrap());
            server.run(|_| Everybody(members.clone()))
        });
        when_bound.recv_timeout(SOON).unwrap();
        let clients: Vec<TcpStream> =
            (0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()).collect();
        while group.len() < CLIENTS {
            std::thread::yield_now();
        }
        scope(|scope| {
            for (sender, client) in clients.iter().enumerate() {
                scope.spawn(move || hear(client, CLIENTS as u32 * FRAMES, CLIENTS));
                scope.spawn(move || {
                    let frame = |n: u32| {
                        framed(&[&[sender as u8][..], &n.to_be_bytes(), &[0; 60]].concat())
                    };
                    let stream: Vec<u8> = (0..FRAMES).flat_map(frame).collect();
                    (&mut { client }).write_all(&stream).unwrap();
                });
            }
        });
        remote.stop();
        drop(clients);
        serving.join().unwrap().unwrap();
        assert!(group.is_empty(), "{topology:?}: whoever has ended is in no group");
    }
}
