//! A process that runs out of descriptors: who calls then is served or hung up on, and nobody waits for
//! ever.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::program::{Server, every_way};

/// The most descriptors of the process, and more callers than it can have.
const WITH_FEW: [&str; 3] = ["sh", "-c", "ulimit -n 64 && exec \"$0\" \"$@\""];
const CALLERS: usize = 100;

/// Whether the server answers; otherwise it has hung up, and not been silent.
fn is_served(mut caller: &TcpStream) -> bool {
    // A caller that was hung up on may learn of it here.
    let _hung_up = caller.write_all(b"\0\0\0\x04ping");
    match caller.read(&mut [0; 64]) {
        Ok(count) => count > 0,
        Err(error) => {
            let kind = error.kind();
            assert_eq!(kind, ErrorKind::ConnectionReset, "a caller hangs: {error}");
            false
        }
    }
}

fn assert_all_are_answered(options: &[&str]) {
    let server = Server::start_under(&WITH_FEW, "echo", options);
    let callers: Vec<TcpStream> = (0..CALLERS).map(|_| server.connect()).collect();
    let (mut inside, outside): (Vec<_>, Vec<_>) = callers.into_iter().partition(is_served);
    assert!(inside.len() > 20 && outside.len() > 20, "{options:?}: {} inside", inside.len());
    // It is hung up on too, or takes the place of one of those who leave.
    let new = server.connect();
    inside.truncate(10);
    is_served(&new);
    assert!(inside.iter().all(is_served), "{options:?}");
    drop((inside, new));
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, Some(0), "{options:?}");
}

#[test]
fn out_of_descriptors_every_caller_is_answered() {
    every_way().iter().for_each(|options| assert_all_are_answered(options));
}

#[test]
fn reactors_that_share_the_last_descriptors_answer_every_caller() {
    for trigger in ["level", "edge"] {
        for reactors in ["3", "2", "3", "2", "3"] {
            let reuseport =
                ["--topology", "multi", "--reactors", reactors, "--accept", "reuseport"];
            assert_all_are_answered(&[&reuseport[..], &["--trigger", trigger]].concat());
        }
    }
}
