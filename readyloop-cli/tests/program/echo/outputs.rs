//! What the program says, where, and that it lives on when nobody listens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::program::{
    DEADLINE, Server, connect_unix, expect_end, full_file, full_pipe, ping, run_into, socket_path,
};

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

/// Waits until somebody listens there.
fn wait_until_ready(path: &Path) {
    let begin = Instant::now();
    while UnixStream::connect(path).is_err() {
        assert!(begin.elapsed() < DEADLINE, "it is never ready");
        thread::yield_now();
    }
}

/// One frame goes there and comes back.
fn is_answered(path: &Path) {
    let mut stream = connect_unix(path.to_str().unwrap());
    stream.write_all(b"\0\0\0\x01x").unwrap();
    let mut reply = [0; 5];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"\0\0\0\x01x");
}

/// Stops it, and sees that it does not wait for who should read what it says.
fn ends_soon(server: Server) {
    let begin = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, Some(0));
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

#[test]
fn a_full_standard_error_stalls_neither_sessions_nor_the_stop() {
    for topology in ["single", "multi", "workers"] {
        let path = socket_path();
        let listen = format!("unix:{}", path.display());
        let (reader, writer) = full_pipe();
        let options = ["-vv", "--listen", &listen, "--topology", topology];
        let server = Server::start_into("echo", &options, Stdio::null(), writer);
        wait_until_ready(&path);
        // Together they have more to say than the queue holds: 256 KiB.
        (0..2000).for_each(|_| is_answered(&path));
        // Whoever comes late reads how much was lost, and all that is said from then on.
        let mut late = BufReader::new(reader);
        let mut line = String::new();
        while !line.contains(" lines were lost here, as nobody read standard error") {
            line.clear();
            assert!(late.read_line(&mut line).unwrap() > 0, "{topology}: nothing was lost");
        }
        is_answered(&path);
        ends_soon(server);
        let mut rest = String::new();
        late.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("ended: 2002 sessions"), "{topology}: {rest}");
        // And when nobody ever comes.
        let (_unread, writer) = full_pipe();
        let server = Server::start_into("echo", &options, Stdio::null(), writer);
        wait_until_ready(&path);
        (0..10).for_each(|_| is_answered(&path));
        ends_soon(server);
    }
}

#[test]
fn a_full_standard_output_stalls_neither_sessions_nor_the_stop() {
    let path = socket_path();
    let listen = format!("unix:{}", path.display());
    let (_unread, writer) = full_pipe();
    let server = Server::start_into("echo", &["--listen", &listen], writer, Stdio::null());
    wait_until_ready(&path);
    is_answered(&path);
    ends_soon(server);
}

#[test]
fn help_that_cannot_be_written_is_an_error() {
    for arguments in [&["--help"][..], &["--version"], &["compare", "--help"]] {
        let ended = run_into(arguments, full_file());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let words = "readyloop: standard output cannot be written: ";
        assert!(ended.stderr.starts_with(words), "{}", ended.stderr);
    }
}
