//! The end of a server: the first signal drains, the second one does not wait.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::program::{DEADLINE, Server, expect_end, hang_up, ping, push_until_blocked};

/// For a server that must not end by its own deadline while a test looks.
const NEVER: [&str; 2] = ["--drain-timeout", "1h"];

#[track_caller]
fn ends_well(server: Server) -> String {
    let ended = server.end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
    ended.stderr
}

#[test]
fn each_signal_ends_an_idle_server() {
    for signal in [Signal::TERM, Signal::INT, hang_up()] {
        for poller in ["epoll", "poll", "select"] {
            let server = Server::start("echo", &["--poller", poller]);
            server.signal(signal);
            assert_eq!(ends_well(server), "");
        }
    }
}

#[test]
fn an_open_session_hears_the_end_and_the_server_ends() {
    for signal in [Signal::TERM, Signal::INT, hang_up()] {
        let server = Server::start("echo", &NEVER);
        let stream = server.connect();
        ping(&stream);
        server.signal(signal);
        expect_end(&stream);
        drop(stream);
        assert_eq!(ends_well(server), "");
    }
}

#[test]
fn a_server_that_is_to_outlive_its_terminal_does() {
    let server =
        Server::start_under(&["nohup"], "echo", &["--topology", "multi", "--reactors", "2"]);
    let stream = server.connect();
    ping(&stream);
    server.signal(Signal::HUP);
    ping(&stream);
    ping(&server.connect());
    drop(stream);
    server.signal(Signal::TERM);
    assert!(!ends_well(server).contains("drain"));
}

#[test]
fn a_server_under_load_ends_each_stream_at_the_end_of_a_frame() {
    for trigger in ["level", "edge"] {
        let server = Server::start("echo", &["--drain-timeout", "1h", "--trigger", trigger]);
        let streams: Vec<TcpStream> = (0..8).map(|_| server.connect()).collect();
        streams.iter().for_each(ping);
        let (flows, flowing) = mpsc::channel();
        thread::scope(|scope| {
            for stream in &streams {
                let flows = flows.clone();
                scope.spawn(|| send_until_told_to_stop(stream));
                scope.spawn(|| expect_whole_frames(stream, flows));
            }
            let all_flow = streams.iter().all(|_| flowing.recv_timeout(DEADLINE).is_ok());
            // Also when they do not: the threads end by it.
            server.signal(Signal::TERM);
            assert!(all_flow);
        });
        drop(streams);
        assert_eq!(ends_well(server), "");
    }
}

const FRAME: &[u8] = b"\0\0\0\x0atenletters";

fn send_until_told_to_stop(mut stream: &TcpStream) {
    let frames = FRAME.repeat(1000);
    loop {
        match stream.write(&frames) {
            Ok(count) if count % FRAME.len() == 0 => {}
            Ok(count) => stream.write_all(&FRAME[count % FRAME.len()..]).unwrap_or_default(),
            Err(error) => {
                let told =
                    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
                return assert!(told, "{error}");
            }
        }
    }
}

fn expect_whole_frames(mut stream: &TcpStream, flows: mpsc::Sender<()>) {
    let mut replies = vec![0; 1000 * FRAME.len()];
    stream.read_exact(&mut replies).unwrap();
    flows.send(()).unwrap();
    stream.read_to_end(&mut replies).unwrap();
    // The sender must stop too, if it waits for room.
    stream.shutdown(Shutdown::Both).unwrap_or_default();
    assert_eq!(replies.len() % FRAME.len(), 0, "a reply was cut");
    assert!(replies.chunks(FRAME.len()).all(|reply| reply == FRAME), "a reply is not a frame");
}

#[test]
fn a_draining_server_takes_no_callers() {
    let mut server = Server::start("echo", &["-v", "--drain-timeout", "1h"]);
    let stuck = stuck_session(&server);
    server.signal(Signal::TERM);
    server.logged("draining 1 sessions");
    let refused = TcpStream::connect(server.addresses()[0]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    drop(stuck);
    assert!(ends_well(server).contains("ended: 1 sessions"));
}

/// A session that can never drain: its replies fill every buffer on the way.
fn stuck_session(server: &Server) -> TcpStream {
    let stream = server.connect();
    push_until_blocked(&stream, &FRAME.repeat(1000), usize::MAX);
    stream
}

#[test]
fn a_second_signal_ends_the_server_at_once_whoever_does_not_read() {
    let pairs =
        [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM), (hang_up(), Signal::TERM)];
    for (first, second) in pairs {
        let mut server = Server::start("echo", &["-v", "--drain-timeout", "1h"]);
        let mut stuck = stuck_session(&server);
        server.signal(first);
        server.logged("draining 1 sessions");
        server.signal(second);
        assert!(ends_well(server).contains("closed: stopped 1"));
        // The peer is told that bytes are missing.
        let mut replies = Vec::new();
        let error = stuck.read_to_end(&mut replies).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn the_drain_timeout_ends_the_server_whoever_does_not_read() {
    let server = Server::start("echo", &["-v", "--drain-timeout", "50ms"]);
    let _stuck = stuck_session(&server);
    let begin = Instant::now();
    server.signal(Signal::TERM);
    assert!(ends_well(server).contains("drain_timeout 1"));
    assert!(begin.elapsed() < DEADLINE / 4, "{:?}", begin.elapsed());
}

/// Waits until the server has computed for a while: its handler runs.
fn wait_until_busy(server: &Server) {
    let (begin, stat) = (Instant::now(), format!("/proc/{}/stat", server.pid()));
    // proc_pid_stat(5): the name ends with a parenthesis, and utime is the twelfth field behind it.
    let ticks = || -> u64 {
        let stat = fs::read_to_string(&stat).unwrap();
        let behind = stat.rsplit_once(") ").unwrap().1;
        behind.split(' ').nth(11).unwrap().parse().unwrap()
    };
    let before = ticks();
    while ticks() < before + 5 {
        assert!(begin.elapsed() < DEADLINE, "no handler runs");
        thread::yield_now();
    }
}

#[test]
fn a_second_signal_ends_the_program_also_when_a_handler_never_returns() {
    let ways: [(&[&str], Signal); 3] = [
        (&["single"], Signal::INT),
        (&["multi", "--reactors", "2"], hang_up()),
        (&["workers"], Signal::INT),
    ];
    for (topology, second) in ways {
        let options = [&["--handler-cost", "1h", "--topology"], topology].concat();
        let server = Server::start("echo", &options);
        let mut stream = server.connect();
        stream.write_all(FRAME).unwrap();
        wait_until_busy(&server);
        let begin = Instant::now();
        // Two of the same could become one (signal(7)).
        server.signal(Signal::TERM);
        server.signal(second);
        assert!(ends_well(server).contains("ended without handlers that do not return"));
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
}
