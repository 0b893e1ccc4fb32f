//! What the program says, where, and that it lives on when nobody listens.

use std::io::{Read, Write};
use std::net::Shutdown;

use rustix::process::Signal;

use crate::program::{Server, connect_unix, expect_end, ping, socket_path};

/// A server that has served one session and was stopped; returns its log.
fn log_of(options: &[&str]) -> String {
    let server = Server::start("echo", options);
    let stream = server.connect();
    ping(&stream);
    stream.shutdown(Shutdown::Write).unwrap();
    expect_end(&stream);
    server.signal(Signal::TERM);
    let ended = server.end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    ended.stderr
}

#[test]
fn nothing_is_logged_when_nothing_happens() {
    assert_eq!(log_of(&[]), "");
    assert_eq!(log_of(&["-q"]), "");
}

#[test]
fn the_log_tells_start_drain_and_end_with_totals() {
    let log = log_of(&["-v"]);
    let [start, drain, end] = log.lines().collect::<Vec<_>>()[..] else { panic!("{log}") };
    assert!(start.contains("serving echo on 127.0.0.1:"), "{start}");
    assert!(drain.ends_with("draining 0 sessions"), "{drain}");
    let totals = "ended: 1 sessions (closed: peer_finished 1), 0 refused, 1 frames, 8 bytes in with 2 reads, 8 bytes out with 1 writes";
    assert!(end.contains(totals), "{end}");
}

#[test]
fn the_log_tells_each_session_with_who_and_why() {
    let log = log_of(&["-vv"]);
    assert_eq!(log.lines().count(), 5, "{log}");
    assert!(log.contains("session 0.0.1 opened by 127.0.0.1:"), "{log}");
    let closed = log.lines().find(|line| line.contains("session 0.0.1 of 127.0.0.1:"));
    assert!(closed.is_some_and(|line| line.ends_with(" closed: peer_finished")), "{log}");
}

#[test]
fn a_standard_output_that_nobody_reads_is_no_reason_to_end() {
    let path = socket_path();
    let mut server =
        Server::start_unread("echo", &["--listen", &format!("unix:{}", path.display())]);
    server.logged("the ready line reached nobody: Broken pipe");
    let mut stream = connect_unix(path.to_str().unwrap());
    stream.write_all(b"\0\0\0\x01x").unwrap();
    let mut reply = [0; 5];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"\0\0\0\x01x");
    drop(stream);
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, Some(0));
}

#[test]
fn a_standard_error_that_nobody_reads_is_no_reason_to_end() {
    let mut server = Server::start("echo", &["-vv"]);
    server.close_stderr();
    ping(&server.connect());
    ping(&server.connect());
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, Some(0));
}
