//! The program under test, its callers, and their deadlines.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// Longer than anything here takes; a test that meets it has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Every topology, with every trigger.
pub fn every_way() -> Vec<Vec<&'static str>> {
    let topologies: [&[&str]; 5] = [
        &["--topology", "single"],
        &["--topology", "multi", "--reactors", "2", "--accept", "handoff"],
        &["--topology", "multi", "--reactors", "2", "--accept", "reuseport"],
        &["--topology", "workers", "--workers", "2"],
        &["--topology", "workers", "--workers", "2", "--reactors", "2"],
    ];
    let triggers: [&[&str]; 2] = [&["--trigger", "level"], &["--trigger", "edge"]];
    let ways =
        topologies.iter().flat_map(|topology| triggers.map(|edge| [topology, edge].concat()));
    ways.collect()
}

/// Runs the program with these arguments to its end.
pub fn run(arguments: &[&str]) -> Ended {
    run_into(arguments, Stdio::piped())
}

/// The same with this for its standard output.
pub fn run_into(arguments: &[&str], stdout: impl Into<Stdio>) -> Ended {
    let mut child = command(arguments).stdout(stdout).spawn().unwrap();
    wait_for_end(&child);
    let (mut stdout, mut stderr) = (String::new(), String::new());
    if let Some(mut written) = child.stdout.take() {
        written.read_to_string(&mut stdout).unwrap();
    }
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    Ended { code: child.wait().unwrap().code(), stdout, stderr }
}

/// Runs this service with these options, which it must refuse: with this code, one line on standard
/// error, and nothing on standard output. Returns the line.
#[track_caller]
pub fn refusal(service: &str, options: &[&str], code: i32) -> String {
    let ended = run(&[&["serve", service], options].concat());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{options:?}: {ended:?}");
    let line = ended.stderr.strip_suffix('\n').unwrap();
    assert!(line.starts_with("readyloop: ") && !line.contains('\n'), "{line}");
    line.to_string()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_readyloop"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn wait_for_end(child: &Child) {
    let process = pidfd_open(pid(child), PidfdFlags::empty()).unwrap();
    assert!(is_ready(&process, PollFlags::IN, DEADLINE), "the program does not end");
}

/// Whether it becomes ready in time.
pub fn is_ready(what: &impl AsFd, flags: PollFlags, within: Duration) -> bool {
    let within = Timespec::try_from(within).unwrap();
    poll(&mut [PollFd::new(what, flags)], Some(&within)).unwrap() > 0
}

/// A running service; killed when it is dropped.
pub struct Server {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<BufReader<ChildStderr>>,
    /// What was read from its standard error.
    log: String,
    /// The ready line, without its end.
    pub ready: String,
}

impl Server {
    /// Starts it with these options; without `--listen` among them, on a free port.
    #[track_caller]
    pub fn start(service: &str, options: &[&str]) -> Server {
        let listen: &[&str] = match options.contains(&"--listen") {
            true => &[],
            false => &["--listen", "127.0.0.1:0"],
        };
        Server::ready(&mut command(&[&["serve", service], listen, options].concat()))
    }

    /// Starts it by a program, with its first arguments, that prepares its process; on a free port.
    #[track_caller]
    pub fn start_under(program: &[&str], service: &str, options: &[&str]) -> Server {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args([
            env!("CARGO_BIN_EXE_readyloop"),
            "serve",
            service,
            "--listen",
            "127.0.0.1:0",
        ]);
        command.args(options);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Server::ready(&mut command)
    }

    #[track_caller]
    fn ready(command: &mut Command) -> Server {
        let mut server = Server::spawn(command);
        let stdout = server.stdout.as_mut().unwrap();
        assert!(is_ready(stdout.get_ref(), PollFlags::IN, DEADLINE), "it is never ready");
        stdout.read_line(&mut server.ready).unwrap();
        assert!(server.ready.ends_with('\n'), "no ready line");
        server.ready.pop();
        server
    }

    /// Starts it with a standard output that nobody reads, so it is not known when it is ready.
    pub fn start_unread(service: &str, options: &[&str]) -> Server {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        Server::spawn(command(&[&["serve", service], options].concat()).stdout(writer))
    }

    /// Starts it with these for its standard output and its standard error, so it is not known when
    /// it is ready.
    pub fn start_into(
        service: &str,
        options: &[&str],
        stdout: impl Into<Stdio>,
        stderr: impl Into<Stdio>,
    ) -> Server {
        let mut command = command(&[&["serve", service], options].concat());
        Server::spawn(command.stdout(stdout).stderr(stderr))
    }

    fn spawn(command: &mut Command) -> Server {
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        let stderr = child.stderr.take().map(BufReader::new);
        Server { child, stdout, stderr, log: String::new(), ready: String::new() }
    }

    /// Where it listens, as in its ready line.
    pub fn addresses(&self) -> Vec<&str> {
        let (_, rest) = self.ready.split_once(" on ").unwrap();
        rest.split_once(" (").unwrap().0.split(", ").collect()
    }

    /// A caller on its first address.
    pub fn connect(&self) -> TcpStream {
        connect(self.addresses()[0])
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).unwrap();
    }

    /// Nobody reads its standard error from now on.
    pub fn close_stderr(&mut self) {
        self.stderr = None;
    }

    /// Reads its log until a line contains `words`, and returns that line.
    pub fn logged(&mut self, words: &str) -> String {
        let stderr = self.stderr.as_mut().unwrap();
        loop {
            let waits = stderr.buffer().is_empty();
            let comes = !waits || is_ready(stderr.get_ref(), PollFlags::IN, DEADLINE);
            let before = self.log.len();
            let more = comes && stderr.read_line(&mut self.log).unwrap() > 0;
            assert!(more, "'{words}' is not in the log:\n{}", self.log);
            if self.log[before..].contains(words) {
                return self.log[before..].to_string();
            }
        }
    }

    /// Its resident memory in bytes.
    pub fn resident_bytes(&self) -> usize {
        self.status_bytes("VmRSS:")
    }

    /// The most that it ever was.
    pub fn peak_bytes(&self) -> usize {
        self.status_bytes("VmHWM:")
    }

    /// A line of proc_pid_status(5).
    fn status_bytes(&self, name: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }

    /// Waits for its end; standard output is what came after the ready line.
    pub fn end(mut self) -> Ended {
        wait_for_end(&self.child);
        let mut stdout = String::new();
        if let Some(unread) = &mut self.stdout {
            unread.read_to_string(&mut stdout).unwrap();
        }
        if let Some(stderr) = &mut self.stderr {
            stderr.read_to_string(&mut self.log).unwrap();
        }
        let code = self.child.wait().unwrap().code();
        Ended { code, stdout, stderr: std::mem::take(&mut self.log) }
    }

    /// Asks it to end, and expects that it ends well, with nothing more said.
    #[track_caller]
    pub fn stop(self) {
        self.signal(Signal::TERM);
        let ended = self.end();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
        assert_eq!(ended.stderr, "");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already if the test went well.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
        if thread::panicking()
            && let Some(stderr) = &mut self.stderr
        {
            let _unreadable = stderr.read_to_string(&mut self.log);
            eprintln!("the server's log:\n{}", self.log);
        }
    }
}

/// A caller whose every read and write has a deadline.
pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// A caller on a Unix socket.
pub fn connect_unix(path: &str) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// A path for a Unix socket that no other test has.
pub fn socket_path() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("readyloop-{}-{number}.sock", std::process::id()))
}

/// Writes `request` and reads `reply` at the same time, so neither side waits for the other's
/// buffers.
#[track_caller]
pub fn exchange(stream: &TcpStream, request: &[u8], reply: &[u8]) {
    let mut came = vec![0; reply.len()];
    thread::scope(|scope| {
        let (mut writer, mut reader) = (stream, stream);
        scope.spawn(move || writer.write_all(request).unwrap());
        reader.read_exact(&mut came).unwrap();
    });
    // Not assert_eq: nobody wants to read megabytes.
    assert!(came == reply, "the reply is not what was sent");
}

/// A file that takes nothing, as on a full disk (full(4)).
pub fn full_file() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// One short frame goes there and comes back.
#[track_caller]
pub fn ping(stream: &TcpStream) {
    exchange(stream, b"\0\0\0\x04ping", b"\0\0\0\x04ping");
}

/// Expects that the server has nothing more to say and ends the stream.
#[track_caller]
pub fn expect_end(mut stream: impl Read) {
    let mut byte = [0];
    assert_eq!(stream.read(&mut byte).unwrap(), 0, "a byte came, and not the end");
}

/// The signal of a terminal that is closed. Where these tests are to outlive theirs (nohup(1)), so are
/// the servers that they start: there it is another one that ends a server.
pub fn hang_up() -> Signal {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    match ignored & 1 << (Signal::HUP.as_raw() - 1) {
        0 => Signal::HUP,
        _ => Signal::TERM,
    }
}

/// A peer that sends `bytes` again and again, and never reads, until it is not let for a while or
/// has sent `bytes_max`. Returns how much it has sent.
pub fn push_until_blocked(mut stream: &TcpStream, bytes: &[u8], bytes_max: usize) -> usize {
    const A_WHILE: Duration = Duration::from_millis(150);
    stream.set_nonblocking(true).unwrap();
    let (mut sent, begin) = (0, Instant::now());
    while sent < bytes_max && is_ready(stream, PollFlags::OUT, A_WHILE) {
        assert!(begin.elapsed() < DEADLINE, "it is let again and again");
        match stream.write(&bytes[sent % bytes.len()..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("pushing: {error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
    sent
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

/// A pipe that takes not one more byte, until its other end is read.
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'.'; 4096]).is_ok() {}
    while writer.write(b".").is_ok() {}
    // The flag belongs to the pipe's end, and whoever inherits it expects to be kept waiting.
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}
