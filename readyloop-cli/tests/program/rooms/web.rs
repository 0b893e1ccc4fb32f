//! The page, and WebSocket spoken by hand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::talker::start;
use crate::program::{every_way, expect_end};

/// A whole head.
fn head(browser: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(browser.read_line(&mut head).unwrap() > 0, "{head}");
    }
    head
}

/// The opening handshake of RFC 6455, section 1.3.
fn upgrade(browser: &mut BufReader<TcpStream>) {
    let request = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    browser.get_mut().write_all(request.as_bytes()).unwrap();
    let head = head(browser);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
}

/// A frame as a client sends it, with a mask.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![0x80 | opcode, 0x80 | u8::try_from(payload.len()).unwrap()];
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The next frame of the server: its opcode and its text.
fn next(browser: &mut BufReader<TcpStream>) -> (u8, Vec<u8>) {
    let mut header = [0; 2];
    browser.read_exact(&mut header).unwrap();
    assert!(header[0] & 0x80 != 0 && header[1] < 126, "short and whole: {header:?}");
    let mut payload = vec![0; header[1].into()];
    browser.read_exact(&mut payload).unwrap();
    (header[0] & 0x0f, payload)
}

/// Reads messages until one of their lines begins with this; all lines of those messages.
fn until(browser: &mut BufReader<TcpStream>, begin: &str) -> String {
    let mut lines = String::new();
    while !lines.lines().any(|line| line.starts_with(begin)) {
        let (opcode, text) = next(browser);
        assert_eq!(opcode, 1);
        lines.push_str(str::from_utf8(&text).unwrap());
    }
    lines
}

#[test]
fn who_comes_by_websocket_talks_with_who_comes_by_lines_in_every_way() {
    for way in every_way() {
        let server = start(&way);
        let mut ann = server.talker_in("Ann", "den");
        let mut bob = server.browser();
        upgrade(&mut bob);
        // Two lines in one message, and a message without a line's end.
        bob.get_mut().write_all(&frame(1, b"NICK Bob\nJOIN den 0\n")).unwrap();
        let greeting = until(&mut bob, "OK JOIN den 0 0 0");
        assert!(greeting.contains("OK NICK Bob "), "{greeting}");
        assert_eq!(ann.line(), "JOINED den Bob");
        bob.get_mut().write_all(&frame(1, b"SAY den hello")).unwrap();
        assert_eq!(ann.line(), "SAID den 1 Bob hello", "{way:?}");
        ann.say("SAY den <b>bold</b>");
        let heard = until(&mut bob, "SAID den 2");
        assert_eq!(heard, "SAID den 1 Bob hello\nSAID den 2 Ann <b>bold</b>\n", "{way:?}");
        bob.get_mut().write_all(&frame(9, b"beat")).unwrap();
        assert_eq!(next(&mut bob), (10, b"beat".to_vec()), "{way:?}");
        bob.get_mut().write_all(&frame(8, &1000u16.to_be_bytes())).unwrap();
        let (opcode, payload) = loop {
            match next(&mut bob) {
                (1, _) => {}
                other => break other,
            }
        };
        assert_eq!((opcode, &payload[..2]), (8, &1000u16.to_be_bytes()[..]), "{way:?}");
        expect_end(bob);
        assert_eq!(ann.until("LEFT den Bob"), ["SAID den 2 Ann <b>bold</b>"], "{way:?}");
        drop(ann);
        server.stop();
    }
}

#[test]
fn the_page_comes_with_a_policy_and_nothing_else_is_there() {
    let server = start(&[]);
    for (path, status) in [("/", "200 OK"), ("/other", "404 Not Found")] {
        let mut browser = server.browser();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        browser.get_mut().write_all(request.as_bytes()).unwrap();
        let head = head(&mut browser);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
        let mut page = String::new();
        browser.read_to_string(&mut page).unwrap();
        if path == "/" {
            assert!(head.contains("Content-Security-Policy: default-src 'none'"), "{head}");
            assert!(page.starts_with("<!doctype html>") && page.ends_with("</script>\n"));
        }
    }
    server.stop();
}

#[test]
fn frames_behind_a_goodbye_are_not_carried_out_in_every_way() {
    for way in every_way() {
        let server = start(&way);
        let mut ann = server.talker_in("Ann", "den");
        let close = frame(8, &1000u16.to_be_bytes());
        // One message of several lines, the same in several messages, and the protocol's own end.
        let endings = [
            ("Bob", frame(1, b"QUIT\nSAY den a ghost\nMSG Ann a ghost\n")),
            ("Cecil", [frame(1, b"QUIT"), frame(1, b"SAY den a ghost"), frame(9, b"")].concat()),
            ("Dora", [close, frame(1, b"SAY den a ghost"), frame(9, b"")].concat()),
        ];
        for (name, ending) in endings {
            let mut browser = server.browser();
            upgrade(&mut browser);
            let hello = format!("NICK {name}\nJOIN den\n");
            browser.get_mut().write_all(&frame(1, hello.as_bytes())).unwrap();
            until(&mut browser, "OK JOIN den 0 0 0");
            browser.get_mut().write_all(&ending).unwrap();
            let (opcode, _) = loop {
                match next(&mut browser) {
                    (1, _) => {}
                    other => break other,
                }
            };
            assert_eq!(opcode, 8, "{way:?}: {name} is answered behind the end");
            expect_end(browser);
            assert_eq!(ann.line(), format!("JOINED den {name}"), "{way:?}");
            assert_eq!(ann.line(), format!("LEFT den {name}"), "{way:?}");
        }
        drop(ann);
        server.stop();
    }
}
