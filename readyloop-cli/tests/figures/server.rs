//! What is measured: servers as processes of their own, killed when they are dropped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::load::{DEADLINE, raise_descriptor_limit};

/// A way to serve.
#[derive(Clone, Copy)]
pub struct Topology {
    pub name: &'static str,
    /// As on the command line.
    options: &'static str,
}

pub const SINGLE: Topology = Topology { name: "single", options: "--topology single" };
pub const ROUND_ROBIN: Topology = Topology {
    name: "handoff round-robin",
    options: "--topology multi --reactors 2 --accept handoff --balance round-robin",
};
pub const LEAST_SESSIONS: Topology = Topology {
    name: "handoff least-sessions",
    options: "--topology multi --reactors 2 --accept handoff --balance least-sessions",
};
pub const SOURCE_HASH: Topology = Topology {
    name: "handoff source-hash",
    options: "--topology multi --reactors 2 --accept handoff --balance source-hash",
};
pub const REUSEPORT: Topology =
    Topology { name: "reuseport", options: "--topology multi --reactors 2 --accept reuseport" };
pub const REUSEPORT_OWN_TABLES: Topology = Topology {
    name: "reuseport per-reactor",
    options: "--topology multi --reactors 2 --accept reuseport --fd-tables per-reactor",
};
pub const WORKERS: Topology =
    Topology { name: "workers", options: "--topology workers --workers 2" };

pub const TOPOLOGIES: [Topology; 7] =
    [SINGLE, ROUND_ROBIN, LEAST_SESSIONS, SOURCE_HASH, REUSEPORT, REUSEPORT_OWN_TABLES, WORKERS];

impl Topology {
    /// Those of `all` that were asked for.
    pub fn asked_for(all: &[Topology]) -> Vec<Topology> {
        let only = std::env::var("READYLOOP_ONLY").unwrap_or_default();
        all.iter().filter(|one| one.name.starts_with(&only)).copied().collect()
    }
}

/// What to call them in a table.
pub fn names(topologies: &[Topology]) -> Vec<&'static str> {
    topologies.iter().map(|topology| topology.name).collect()
}

/// A running server.
pub struct Server {
    child: Child,
    pub address: SocketAddrV4,
}

impl Server {
    /// `readyloop serve echo` with this topology and these further options.
    pub fn echo(topology: Topology, options: &str) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_readyloop"));
        command.args(["serve", "echo", "--listen", "127.0.0.1:0"]);
        command.args(topology.options.split_whitespace()).args(options.split_whitespace());
        Server::announced(&mut command)
    }

    /// The library's example `broadcast`, if it was built.
    pub fn broadcast() -> Option<Server> {
        let program = Path::new(env!("CARGO_BIN_EXE_readyloop"));
        let example = program.with_file_name("examples").join("broadcast");
        example.exists().then(|| Server::announced(Command::new(example).arg("127.0.0.1:0")))
    }

    /// Redis with nothing but its memory, if it is installed.
    pub fn redis(clients_max: usize) -> Option<Server> {
        // Free now; who would take it before Redis does?
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = SocketAddrV4::new([127, 0, 0, 1].into(), free);
        let mut command = Command::new("redis-server");
        command.args(["--port", &free.to_string(), "--bind", "127.0.0.1"]);
        // Protected, it would take callers from 127.0.0.1 only.
        command.args(["--protected-mode", "no"]);
        command.args(["--save", "", "--appendonly", "no", "--tcp-backlog", "4096"]);
        command.args(["--maxclients", &clients_max.to_string(), "--loglevel", "warning"]);
        raise_descriptor_limit();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().ok()?;
        let server = Server { child, address };
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begin.elapsed() < DEADLINE, "Redis is never ready");
            thread::sleep(Duration::from_millis(10));
        }
        Some(server)
    }

    /// Starts a program that says in one line on standard output where it listens.
    fn announced(command: &mut Command) -> Server {
        raise_descriptor_limit();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let nowhere = SocketAddrV4::new([0; 4].into(), 0);
        let mut server = Server { child, address: nowhere };
        server.address = announced_address(stdout).expect("the server says where it listens");
        server
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits for its end, which must be a good one.
    pub fn expect_good_end(mut self) {
        let process = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).unwrap();
        let within = Timespec::try_from(DEADLINE).unwrap();
        let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&within)).unwrap() > 0;
        assert!(ended, "the server does not end");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }

    /// The processor time that its threads have used so far.
    pub fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks.map(|task| time_on_processor(&task.unwrap().path())).sum()
    }

    /// Its anonymous memory in bytes (proc_pid_status(5)).
    pub fn anonymous_bytes(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already if it was asked to.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Reads `serving echo on 127.0.0.1:7000 (single, epoll, level)`, or another line with such words.
fn announced_address(stdout: ChildStdout) -> Option<SocketAddrV4> {
    let within = Timespec::try_from(DEADLINE).unwrap();
    let said = poll(&mut [PollFd::new(&stdout, PollFlags::IN)], Some(&within)).unwrap() > 0;
    let mut line = String::new();
    if said {
        BufReader::new(stdout).read_line(&mut line).unwrap();
    }
    line.split_once(" on ")?.1.split_whitespace().next()?.parse().ok()
}

/// The processor time that this thread has used so far.
pub fn own_cpu() -> Duration {
    time_on_processor(Path::new("/proc/thread-self"))
}

/// The first number of a thread's `schedstat`: nanoseconds on a processor.
fn time_on_processor(task: &Path) -> Duration {
    let counts = fs::read_to_string(task.join("schedstat")).unwrap();
    Duration::from_nanos(counts.split_whitespace().next().unwrap().parse().unwrap())
}
