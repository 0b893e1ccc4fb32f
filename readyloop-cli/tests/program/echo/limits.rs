//! Whoever goes over a limit loses its own session, and nobody else notices.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::program::{Server, expect_end, ping, push_until_blocked};

#[test]
fn a_frame_over_the_limit_ends_its_session_only() {
    for (framing, longest, over) in [
        ("length:4be", &b"\0\0\0\x08longest!"[..], &b"\0\0\0\x09"[..]),
        ("length:1", b"\x08longest!", b"\x09"),
        ("lines", b"longest!\n", b"too long!"),
    ] {
        let server = Server::start("echo", &["--framing", framing, "--max-frame", "8"]);
        let (mut good, mut bad) = (server.connect(), server.connect());
        for stream in [&mut good, &mut bad] {
            comes_back(stream, longest);
        }
        bad.write_all(over).unwrap();
        expect_end(&bad);
        comes_back(&mut good, longest);
        drop((good, bad));
        server.stop();
    }
}

fn comes_back(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut reply = vec![0; bytes.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply, bytes);
}

#[test]
fn a_caller_over_max_sessions_is_hung_up_on_until_there_is_room() {
    for limit in ["--max-sessions", "--max-sessions-per-ip"] {
        let server = Server::start("echo", &[limit, "2"]);
        let (first, second) = (server.connect(), server.connect());
        ping(&first);
        ping(&second);
        expect_end(server.connect());
        ping(&second);
        first.shutdown(Shutdown::Write).unwrap();
        expect_end(&first);
        ping(&server.connect());
        drop((first, second));
        server.stop();
    }
}

#[test]
fn an_idle_session_is_closed_after_its_time() {
    let server = Server::start("echo", &["--idle-timeout", "50ms"]);
    let stream = server.connect();
    let begin = Instant::now();
    ping(&stream);
    expect_end(&stream);
    assert!(begin.elapsed() >= Duration::from_millis(50), "{:?}", begin.elapsed());
    drop(stream);
    server.stop();
}

#[test]
fn a_session_without_a_whole_first_frame_is_closed_after_its_time() {
    let server = Server::start("echo", &["--handshake-timeout", "50ms"]);
    let (greeted, mut silent) = (server.connect(), server.connect());
    ping(&greeted);
    silent.write_all(b"\0\0\0\x04hal").unwrap();
    expect_end(&silent);
    ping(&greeted);
    drop((greeted, silent));
    server.stop();
}

#[test]
fn a_peer_that_never_reads_neither_grows_the_server_nor_stops_the_others() {
    const MEGABYTE: usize = 1 << 20;
    for (framing, frames) in [
        ("raw", vec![b'x'; 64 << 10]),
        ("lines", b"some words, as a peer would say them\n".repeat(1000)),
        ("length:4be", b"\0\0\0\x08eight by".repeat(5000)),
    ] {
        let server = Server::start("echo", &["--framing", framing]);
        let mut polite = server.connect();
        comes_back(&mut polite, b"\0\0\0\x02a\n");
        let before = server.resident_bytes();
        let greedy = server.connect();
        let sent = push_until_blocked(&greedy, &frames, 100 * MEGABYTE);
        assert!(sent < 100 * MEGABYTE, "{framing}: nobody stopped the greedy peer");
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < 4 * MEGABYTE, "{framing}: grown by {grown} bytes for {sent} bytes");
        comes_back(&mut polite, b"\0\0\0\x02b\n");
    }
}

#[test]
fn a_handler_that_costs_time_takes_that_time() {
    let server = Server::start("echo", &["--handler-cost", "20ms"]);
    let stream = server.connect();
    let begin = Instant::now();
    ping(&stream);
    assert!(begin.elapsed() >= Duration::from_millis(20), "{:?}", begin.elapsed());
    drop(stream);
    server.stop();
}
