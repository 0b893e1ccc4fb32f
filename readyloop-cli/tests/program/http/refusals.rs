//! Over a real socket: what could be read in two ways is refused, and the connection ends.

use std::thread;

use rustix::process::Signal;

use super::caller::get;
use super::cases;
use crate::program::{Server, every_way};

fn expect_refusal(server: &Server, bytes: &[u8], status: u16) {
    let mut caller = server.caller();
    // What follows would be answered by whoever guesses.
    let smuggled = get("/echo");
    caller.send(&[get("/").as_bytes(), bytes, smuggled.as_bytes()].concat());
    assert_eq!(caller.answer().status, 200);
    let answer = caller.answer();
    let text = bytes.escape_ascii();
    assert_eq!((answer.status, answer.header("Connection")), (status, Some("close")), "{text}");
    caller.expect_end();
}

#[test]
fn what_can_be_read_in_two_ways_ends_the_connection_in_every_way() {
    for way in every_way() {
        let server = Server::start("http", &way);
        for (bytes, status) in cases::HEADS {
            expect_refusal(&server, bytes, *status);
        }
        for (chunks, status) in cases::CHUNKS {
            expect_refusal(&server, &[cases::CHUNKED, chunks].concat(), *status);
        }
        server.stop();
    }
}

#[test]
fn the_page_about_refusals_has_every_case_and_no_other() {
    let page = include_str!("../../../../docs/http-smuggling.md");
    let cases = cases::HEADS.iter().chain(cases::CHUNKS);
    let wanted: Vec<String> =
        cases.map(|(bytes, status)| format!("| `{}` | {status} |", bytes.escape_ascii())).collect();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows, wanted);
}

#[test]
fn what_looks_odd_and_has_one_meaning_is_answered() {
    let server = Server::start("http", &[]);
    for (bytes, frames) in cases::TAKEN {
        let mut caller = server.caller();
        caller.send(bytes);
        let heads = frames.iter().filter(|frame| frame.ends_with(b"\r\n\r\n")).count();
        for _ in 0..heads {
            let status = caller.answer().status;
            assert!([200, 204, 404].contains(&status), "{}: {status}", bytes.escape_ascii());
        }
    }
    server.stop();
}

#[test]
fn every_limit_has_its_status_in_every_way() {
    for way in every_way() {
        let limits = ["--max-head", "10000", "--max-frame", "1000"];
        let server = Server::start("http", &[&way[..], &limits].concat());
        let field =
            |bytes| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(bytes));
        let fields =
            |count| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count));
        let target = |bytes| get(&format!("/{}", "x".repeat(bytes)));
        let post = |bytes: usize| {
            let body = "x".repeat(bytes);
            format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n{body}")
        };
        let chunk = |bytes: usize| {
            let head = std::str::from_utf8(cases::CHUNKED).unwrap();
            format!("{head}{bytes:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(bytes))
        };
        for (request, status) in [
            (field(9_900), 200),
            (field(10_000), 431),
            (fields(99), 200),
            (fields(100), 431),
            (target(8_000), 404),
            (target(8_192), 414),
            (post(1_000), 200),
            (post(1_001), 413),
            (chunk(1_000), 200),
            (chunk(1_001), 413),
        ] {
            let begin = request.get(..60).unwrap_or_default();
            assert_eq!(server.answer(&request).status, status, "{way:?}: {begin}");
        }
        server.stop();
    }
}

#[test]
fn a_slow_request_times_out_with_an_answer_and_an_idle_connection_without() {
    let server = Server::start("http", &["--idle-timeout", "50ms"]);
    for (sent, status) in [("", None), ("GET / HTTP", Some(408)), ("\r\n", None)] {
        let mut caller = server.caller();
        caller.send(sent.as_bytes());
        if let Some(status) = status {
            assert_eq!(caller.answer().status, status);
        }
        caller.expect_end();
    }
    server.stop();
}

#[test]
fn a_request_that_never_ends_does_not_hold_up_the_stop() {
    let server = Server::start("http", &[]);
    let mut caller = server.caller();
    caller.send(
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(caller.answer_without_content().status, 100);
    server.signal(Signal::TERM);
    assert_eq!(caller.answer().status, 503);
    caller.expect_end();
    drop(caller);
    server.stop();
}

#[test]
fn many_callers_at_once_are_each_answered_in_every_way() {
    for way in every_way() {
        let server = Server::start("http", &way);
        thread::scope(|scope| {
            for nth in 0..8 {
                let server = &server;
                scope.spawn(move || {
                    let mut caller = server.caller();
                    for round in 0..50 {
                        let body = format!("{nth} in {round}");
                        let length = body.len();
                        let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: ";
                        caller.send(format!("{head}{length}\r\n\r\n{body}").as_bytes());
                        assert_eq!(caller.answer().content, body.as_bytes());
                    }
                });
            }
        });
        server.stop();
    }
}
