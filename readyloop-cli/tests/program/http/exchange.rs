//! Requests and answers on one connection, in every topology and with every trigger.

use std::io::Write;
use std::net::Shutdown;

use super::caller::get;
use super::cases;
use crate::program::{Server, every_way};

#[test]
fn a_connection_is_used_again_in_every_way() {
    for way in every_way() {
        let server = Server::start("http", &way);
        let mut caller = server.caller();
        for _ in 0..3 {
            caller.send(get("/").as_bytes());
            let answer = caller.answer();
            assert_eq!((answer.status, answer.content), (200, b"readyloop\n".to_vec()), "{way:?}");
        }
        caller.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(caller.answer().header("Connection"), Some("close"));
        caller.expect_end();
        drop(caller);
        server.stop();
    }
}

#[test]
fn a_hundred_pipelined_requests_are_answered_in_their_order_in_every_way() {
    for way in every_way() {
        let server = Server::start("http", &way);
        let mut caller = server.caller();
        let mut stream = String::new();
        for nth in 0..100 {
            let body = format!("body {nth}").repeat(nth % 5);
            let length = body.len();
            stream +=
                &format!("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
        }
        caller.send(stream.as_bytes());
        for nth in 0..100 {
            let expected = format!("body {nth}").repeat(nth % 5);
            assert_eq!(caller.answer().content, expected.as_bytes(), "{way:?}");
        }
        drop(caller);
        server.stop();
    }
}

#[test]
fn a_body_comes_back_in_one_piece_however_it_was_sent_in_every_way() {
    let body: Vec<u8> = (0..700_000u32).map(|nth| (nth % 251) as u8).collect();
    let mut chunked = cases::CHUNKED.to_vec();
    for (nth, chunk) in body.chunks(9_999).enumerate() {
        chunked.extend_from_slice(format!("{:x};n={nth}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\nX: y\r\n\r\n");
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let stream = [chunked, head.into_bytes(), body.clone()].concat();
    for way in every_way() {
        let server = Server::start("http", &way);
        let mut caller = server.caller();
        let mut writer = caller.0.get_ref().try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| writer.write_all(&stream).unwrap());
            for _ in 0..2 {
                assert!(caller.answer().content == body, "{way:?}");
            }
        });
        drop((caller, writer));
        server.stop();
    }
}

#[test]
fn whoever_waits_is_told_to_go_on_before_the_body_is_sent_in_every_way() {
    for way in every_way() {
        let server = Server::start("http", &way);
        let mut caller = server.caller();
        caller.send(
            b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
        );
        let interim = caller.answer_without_content();
        assert_eq!(interim.head, "HTTP/1.1 100 Continue\r\n\r\n", "{way:?}");
        caller.send(b"body");
        assert_eq!(caller.answer().content, b"body");
        drop(caller);
        server.stop();
    }
}

#[test]
fn every_target_has_its_methods() {
    let server = Server::start("http", &[]);
    let ask = |line: &str| server.answer(&format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
    for (line, status) in [
        ("GET /", 200),
        ("GET http://a/?x", 200),
        ("POST /", 405),
        ("DELETE /echo", 200),
        ("BREW /echo", 200),
        ("OPTIONS *", 204),
        ("GET /none", 404),
        ("GET /static/x", 404),
        ("GET /static", 404),
        ("PUT /static/x", 405),
    ] {
        let answer = ask(line);
        assert_eq!(answer.status, status, "{line}");
        assert_eq!(answer.header("Allow").is_some(), matches!(status, 405 | 204), "{line}");
        assert!(answer.header("Date").unwrap().ends_with(" GMT"));
    }
    server.stop();
}

#[test]
fn head_says_what_get_would_and_sends_nothing_behind_it() {
    let server = Server::start("http", &[]);
    let mut caller = server.caller();
    for path in ["/", "/none"] {
        caller.send(get(path).as_bytes());
        let with = caller.answer();
        caller.send(get(path).replace("GET", "HEAD").as_bytes());
        let without = caller.answer_without_content();
        assert_eq!(
            (without.status, without.header("Content-Length")),
            (with.status, with.header("Content-Length"))
        );
    }
    drop(caller);
    server.stop();
}

#[test]
fn whoever_has_said_all_gets_his_answers_and_the_end_in_every_way() {
    for way in every_way() {
        let server = Server::start("http", &way);
        let mut caller = server.caller();
        caller.send(get("/").repeat(10).as_bytes());
        caller.0.get_ref().shutdown(Shutdown::Write).unwrap();
        for _ in 0..10 {
            assert_eq!(caller.answer().status, 200, "{way:?}");
        }
        caller.expect_end();
        server.stop();
    }
}
