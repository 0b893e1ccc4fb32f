//! What is sent comes back: every framing, every poller, every trigger, every way to cut a stream.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use crate::program::{Server, connect, connect_unix, exchange, expect_end, ping, socket_path};

const POLLERS: [(&str, &str); 4] =
    [("epoll", "level"), ("epoll", "edge"), ("poll", "level"), ("select", "level")];

const MEGABYTE: usize = 1_000_000;

/// Wraps a frame as a framing's option says; written without the library, so that both must agree.
fn wrapped(framing: &str, frame: &[u8]) -> Vec<u8> {
    let length = frame.len() as u64;
    let prefix = match framing {
        "raw" => Vec::new(),
        "lines" => return [frame, b"\n"].concat(),
        "length:1" => vec![u8::try_from(length).unwrap()],
        "length:2" => u16::try_from(length).unwrap().to_be_bytes().to_vec(),
        "length:4be" => u32::try_from(length).unwrap().to_be_bytes().to_vec(),
        "length:8le" => length.to_le_bytes().to_vec(),
        other => panic!("{other}"),
    };
    [&prefix, frame].concat()
}

/// Bytes of every kind but the line ends.
fn noise(count: usize) -> Vec<u8> {
    let bytes = (0..count as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    bytes.map(|byte| if matches!(byte, b'\n' | b'\r') { b'.' } else { byte }).collect()
}

/// Whole frames and pieces of frames, one by one and many in one write.
fn comes_back(framing: &str, longest: usize) {
    let sizes = [1, 2, 0, 64, 200, longest / 2, longest];
    let frames: Vec<Vec<u8>> = sizes.iter().map(|size| wrapped(framing, &noise(*size))).collect();
    for (poller, trigger) in POLLERS {
        let server = Server::start(
            "echo",
            &["--framing", framing, "--poller", poller, "--trigger", trigger],
        );
        assert!(server.ready.ends_with(&format!(" (single, {poller}, {trigger})")));
        let stream = server.connect();
        for frame in &frames {
            exchange(&stream, frame, frame);
        }
        let pipelined = frames.concat().repeat(3);
        exchange(&stream, &pipelined, &pipelined);
        byte_by_byte(&stream, &frames[..5].concat());
        drop(stream);
        server.stop();
    }
}

fn byte_by_byte(mut stream: &TcpStream, bytes: &[u8]) {
    for byte in bytes {
        stream.write_all(&[*byte]).unwrap();
    }
    exchange(stream, &[], bytes);
}

#[test]
fn raw_bytes_come_back() {
    comes_back("raw", 100_000);
}

#[test]
fn lines_come_back() {
    comes_back("lines", 100_000);
}

#[test]
fn frames_behind_one_byte_come_back() {
    comes_back("length:1", 255);
}

#[test]
fn frames_behind_two_bytes_come_back() {
    comes_back("length:2", 65_535);
}

#[test]
fn frames_behind_four_bytes_come_back() {
    comes_back("length:4be", 100_000);
}

#[test]
fn frames_behind_eight_bytes_come_back() {
    comes_back("length:8le", 100_000);
}

#[test]
fn the_default_framing_is_length_4be() {
    let server = Server::start("echo", &[]);
    ping(&server.connect());
    server.stop();
}

#[test]
fn a_line_that_ends_with_crlf_comes_back_with_lf() {
    let server = Server::start("echo", &["--framing", "lines"]);
    exchange(&server.connect(), b"one\r\n\r\ntwo\n", b"one\n\ntwo\n");
    server.stop();
}

#[test]
fn a_frame_of_ten_megabytes_comes_back() {
    for (poller, trigger) in POLLERS {
        let server = Server::start("echo", &["--poller", poller, "--trigger", trigger]);
        let frame = wrapped("length:4be", &noise(10 * MEGABYTE));
        exchange(&server.connect(), &frame, &frame);
        server.stop();
    }
}

#[test]
fn a_line_of_ten_megabytes_comes_back() {
    let server = Server::start("echo", &["--framing", "lines"]);
    let line = wrapped("lines", &noise(10 * MEGABYTE));
    exchange(&server.connect(), &line, &line);
    server.stop();
}

#[test]
fn ten_megabytes_of_short_frames_in_one_write_come_back_in_order() {
    for (framing, poller, trigger) in [
        ("raw", "epoll", "edge"),
        ("lines", "epoll", "level"),
        ("length:1", "epoll", "edge"),
        ("length:4be", "poll", "level"),
        ("length:8le", "select", "level"),
    ] {
        let server = Server::start(
            "echo",
            &["--framing", framing, "--poller", poller, "--trigger", trigger],
        );
        let mut frames = Vec::new();
        for number in 0.. {
            let width = 10 + number % 90;
            let frame = format!("{number:>width$}");
            frames.extend(wrapped(framing, frame.as_bytes()));
            if frames.len() > 10 * MEGABYTE {
                break;
            }
        }
        exchange(&server.connect(), &frames, &frames);
        server.stop();
    }
}

#[test]
fn a_unix_socket_serves_like_any_other_and_its_file_goes_with_the_server() {
    let path = socket_path();
    let listen = format!("unix:{}", path.display());
    let server = Server::start("echo", &["--listen", &listen]);
    assert_eq!(server.addresses(), [listen.as_str()]);
    let mut stream = connect_unix(path.to_str().unwrap());
    stream.write_all(b"\0\0\0\x03abc").unwrap();
    let mut reply = [0; 7];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"\0\0\0\x03abc");
    drop(stream);
    server.stop();
    assert!(!path.exists(), "the socket's file is left over");
}

#[test]
fn every_listener_serves_and_is_named_in_order() {
    let path = socket_path();
    let unix = format!("unix:{}", path.display());
    let listen = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--listen", &unix];
    let server = Server::start("echo", &listen);
    let addresses = server.addresses();
    assert!(addresses[0].starts_with("127.0.0.1:") && !addresses[0].ends_with(":0"));
    assert!(addresses[1].starts_with("[::1]:") && !addresses[1].ends_with(":0"));
    assert_eq!(addresses[2..], [unix.as_str()]);
    ping(&connect(addresses[0]));
    ping(&connect(addresses[1]));
    drop(connect_unix(path.to_str().unwrap()));
    server.stop();
}

#[test]
fn sessions_do_not_hear_each_other() {
    let server = Server::start("echo", &["--framing", "lines"]);
    thread::scope(|scope| {
        for caller in 0..20 {
            let stream = server.connect();
            scope.spawn(move || {
                for number in 0..50 {
                    let line = format!("caller {caller}, line {number}\n");
                    exchange(&stream, line.as_bytes(), line.as_bytes());
                }
            });
        }
    });
    server.stop();
}

#[test]
fn a_caller_that_has_finished_gets_all_its_replies_and_then_the_end() {
    for (poller, trigger) in POLLERS {
        let server = Server::start("echo", &["--poller", poller, "--trigger", trigger]);
        let frames = wrapped("length:4be", &noise(1000)).repeat(3000);
        let mut stream = server.connect();
        let mut replies = Vec::new();
        thread::scope(|scope| {
            let mut writer = &stream;
            let frames = &frames;
            scope.spawn(move || {
                writer.write_all(frames).unwrap();
                writer.write_all(b"\0\0\0\x09half").unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            (&stream).read_to_end(&mut replies).unwrap();
        });
        assert!(replies == frames, "{} bytes of {}", replies.len(), frames.len());
        expect_end(&mut stream);
        server.stop();
    }
}
