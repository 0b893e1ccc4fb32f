//! What `--profile` tells the kernel about sockets, as far as it is seen from outside.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::program::{DEADLINE, Server, every_way};

/// How many seconds the kernel lets a session be silent before it asks whether the peer is there: the
/// keep-alive timer of /proc/net/tcp (proc_pid_net(5)) has just begun.
fn asks_after_s(client: &TcpStream) -> u64 {
    let (ours, theirs) = (client.local_addr().unwrap().port(), client.peer_addr().unwrap().port());
    let begin = Instant::now();
    while begin.elapsed() < DEADLINE {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        for row in table.lines().skip(1) {
            let fields: Vec<&str> = row.split_whitespace().collect();
            let port = |end: &str| u16::from_str_radix(end.split_once(':').unwrap().1, 16).unwrap();
            let (timer, hundredths) = fields[5].split_once(':').unwrap();
            // 02 is the keep-alive timer; while bytes are on their way there is another.
            if (port(fields[1]), port(fields[2]), timer) == (theirs, ours, "02") {
                return u64::from_str_radix(hundredths, 16).unwrap().div_ceil(100);
            }
        }
    }
    panic!("the kernel never asks");
}

#[test]
fn each_profile_has_its_own_patience_with_a_silent_peer() {
    let profiles: [(&[&str], u64); 4] = [
        (&[], 60),
        (&["--profile", "game"], 15),
        (&["--profile", "trading"], 5),
        (&["--profile", "bulk"], 60),
    ];
    for how in every_way() {
        for (profile, expected_s) in profiles {
            let server = Server::start("echo", &[&how, profile, &["--framing", "raw"]].concat());
            let mut client = server.connect();
            client.write_all(b"x").unwrap();
            client.read_exact(&mut [0]).unwrap();
            let found_s = asks_after_s(&client);
            // As much as a busy machine may have taken since.
            let range = expected_s.div_ceil(2)..=expected_s;
            assert!(range.contains(&found_s), "{how:?} {profile:?}: {found_s} s");
        }
    }
}
