//! What the kernel was told about a server's sockets, seen from outside, in /proc/net/tcp
//! (proc_pid_net(5)): the one thing that is written there is the keep-alive timer.

use std::fs;
use std::time::{Duration, Instant};

use readyloop::{Server, SocketOptions, Topology};

use super::running::*;

const TOPOLOGIES: [Topology; 6] = [Topology::Single, HANDOFF, SHARED, PER_REACTOR, WORKERS, POOL];

/// How long the kernel waits before it asks the peer of the open socket with these ports whether it
/// is there: `None` if it never asks.
fn keep_alive_in(is_it: impl Fn(u16, u16) -> bool) -> Option<Duration> {
    let begin = Instant::now();
    while begin.elapsed() < SOON {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        for row in table.lines().skip(1) {
            let fields: Vec<&str> = row.split_whitespace().collect();
            let port = |end: &str| u16::from_str_radix(end.split_once(':').unwrap().1, 16).unwrap();
            // On this address alone: a port says little where others measure a hundred thousand.
            let is_ours = |end: &str| end.starts_with("0100007F:");
            let open = fields[3] == "01" && is_ours(fields[1]) && is_ours(fields[2]);
            // Another timer while bytes are on their way.
            let (timer, when) = fields[5].split_once(':').unwrap();
            if open && is_it(port(fields[1]), port(fields[2])) && ["00", "02"].contains(&timer) {
                let hundredths = u64::from_str_radix(when, 16).unwrap();
                return (timer == "02").then(|| Duration::from_millis(hundredths * 10));
            }
        }
    }
    panic!("there is no such socket");
}

/// What an accepted and a dialled socket of a server have.
fn keep_alives(topology: Topology, options: Option<SocketOptions>) -> [Option<Duration>; 2] {
    let none = SocketOptions { keep_alive: None, ..SocketOptions::default() };
    let other = Server::builder().listen("127.0.0.1:0").socket_options(none);
    let other = Running::serve_as(other, None);
    let builder = Server::builder().listen("127.0.0.1:0").topology(topology);
    let builder = match options {
        Some(options) => builder.socket_options(options),
        None => builder,
    };
    let server = Running::serve_as(builder, Some(other.address.clone()));
    let mut client = server.dial();
    assert_echoes(&mut client, b"hi");
    let (ours, theirs) = (tcp(&server.address).port(), client.local_addr().unwrap().port());
    let others = tcp(&other.address).port();
    [
        keep_alive_in(|local, remote| (local, remote) == (ours, theirs)),
        keep_alive_in(|_, remote| remote == others),
    ]
}

fn between(low_s: u64, found: Option<Duration>, high_s: u64) -> bool {
    let range = Duration::from_secs(low_s)..=Duration::from_secs(high_s);
    found.is_some_and(|found| range.contains(&found))
}

#[test]
fn a_peer_that_vanished_is_asked_for_after_a_minute_unless_otherwise_said() {
    for topology in TOPOLOGIES {
        let found = keep_alives(topology, None);
        assert!(found.iter().all(|found| between(30, *found, 60)), "{topology:?}: {found:?}");
    }
}

#[test]
fn every_socket_of_a_server_has_the_options_that_were_asked_for() {
    for topology in TOPOLOGIES {
        let found = keep_alives(topology, Some(SocketOptions::game()));
        assert!(found.iter().all(|found| between(1, *found, 15)), "{topology:?}: {found:?}");
        let none = SocketOptions { keep_alive: None, ..SocketOptions::default() };
        assert_eq!(keep_alives(topology, Some(none)), [None, None], "{topology:?}");
    }
}

#[test]
fn options_that_cannot_be_are_refused_before_the_server_has_its_address() {
    let options = SocketOptions { send_buffer_bytes: Some(0), ..SocketOptions::default() };
    let refused = Server::builder().listen("127.0.0.1:0").socket_options(options).bind::<()>();
    assert!(refused.err().unwrap().is_settings());
}
