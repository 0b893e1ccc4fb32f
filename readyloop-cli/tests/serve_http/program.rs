//! The program under test, and callers that read whole responses, before a deadline.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here takes; a test that meets it has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Every topology, with every trigger.
pub fn every_way() -> Vec<Vec<&'static str>> {
    let topologies: [&[&str]; 4] = [
        &["--topology", "single"],
        &["--topology", "multi", "--reactors", "2", "--accept", "handoff"],
        &["--topology", "multi", "--reactors", "2", "--accept", "reuseport"],
        &["--topology", "workers", "--workers", "2"],
    ];
    let triggers: [&[&str]; 2] = [&["--trigger", "level"], &["--trigger", "edge"]];
    let ways =
        topologies.iter().flat_map(|topology| triggers.map(|edge| [topology, edge].concat()));
    ways.collect()
}

/// Runs the program to its end: its exit code, and its standard error.
pub fn run(options: &[&str]) -> (Option<i32>, String) {
    let ended = command(options).output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

fn command(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_readyloop"));
    command.args(["serve", "http"]).args(options).stdin(Stdio::null());
    command
}

/// A running `readyloop serve http`; killed when it is dropped.
pub struct Server {
    child: Child,
    /// The ready line.
    pub ready: String,
}

impl Server {
    /// Starts it with these options on a free port.
    pub fn start(options: &[&str]) -> Server {
        let mut command = command(&["--listen", "127.0.0.1:0"]);
        let mut child = command.args(options).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        let mut stdout: BufReader<ChildStdout> = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut ready).unwrap();
        assert!(ready.starts_with("serving http on 127.0.0.1:"), "{options:?}: '{ready}'");
        Server { child, ready }
    }

    pub fn connect(&self) -> Caller {
        let address = self.ready["serving http on ".len()..].split(' ').next().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Caller(BufReader::new(stream))
    }

    /// What one request on a connection of its own is answered.
    pub fn answer(&self, request: &str) -> Answer {
        let mut caller = self.connect();
        caller.send(request.as_bytes());
        caller.answer()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.answer(&get(path))
    }

    pub fn ask_to_end(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Asks it to end, and expects that it ends well.
    pub fn stop(mut self) {
        self.ask_to_end();
        let begin = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < DEADLINE, "it does not end");
            std::thread::yield_now();
        }
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }

    /// Its resident memory in bytes (proc_pid_status(5)).
    pub fn resident_bytes(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already if the test went well.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// A connection, from the caller's side.
pub struct Caller(pub BufReader<TcpStream>);

/// A whole response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub status: u16,
    /// Its head, as it came.
    pub head: String,
    pub content: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

impl Caller {
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Reads a response to anything but HEAD.
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.answer_without_content();
        let length = answer.header("Content-Length").unwrap_or("0").parse().unwrap();
        answer.content.resize(length, 0);
        self.0.read_exact(&mut answer.content).unwrap();
        answer
    }

    /// Reads the head of a response.
    pub fn answer_without_content(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let more = self.0.read_line(&mut head).unwrap();
            assert!(more > 0, "the stream ended after '{head}'");
        }
        assert!(head.starts_with("HTTP/1.1 "), "{head}");
        Answer { status: head[9..12].parse().unwrap(), head, content: Vec::new() }
    }

    /// Expects that the server has nothing more to say and ends the stream.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "more came, and not the end");
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A directory of its own for each test, removed at its end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("readyloop-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}
