//! The load: many connections, one thread, one epoll, and nothing allocated for a message.
//!
//! Here is what every load needs; what is said and what is expected is each measurement's own.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, set_tcp_nodelay};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Longer than any server here is silent; a load that meets it has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Callers come from this many addresses, so that a server that looks at them sees a mixture.
const SOURCES: usize = 100;

/// Connections to one server, and the epoll that tells which of them can go on.
pub struct Callers {
    epoll: OwnedFd,
    streams: Vec<TcpStream>,
    ready: Vec<Event>,
}

impl Callers {
    /// Nobody yet, but room for so many.
    pub fn none(count: usize) -> Callers {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        Callers { epoll, streams: Vec::with_capacity(count), ready: Vec::with_capacity(1024) }
    }

    /// So many callers, opened one after another, who all read.
    pub fn open(address: SocketAddrV4, count: usize) -> Callers {
        raise_descriptor_limit();
        let mut callers = Callers::none(count);
        callers.open_more(address, count);
        callers
    }

    /// So many more, who read too.
    pub fn open_more(&mut self, address: SocketAddrV4, count: usize) {
        let known = self.streams.len();
        for caller in known..known + count {
            let source = Ipv4Addr::new(127, 0, 0, 1 + (caller % SOURCES) as u8);
            self.add(dial(address, Some(source), SocketFlags::empty()), EventFlags::IN);
            self.streams[caller].set_nonblocking(true).unwrap();
        }
    }

    /// One more caller; its number is how many there were.
    pub fn add(&mut self, stream: TcpStream, wants: EventFlags) {
        let number = EventData::new_u64(self.streams.len() as u64);
        epoll::add(&self.epoll, &stream, number, wants).unwrap();
        self.streams.push(stream);
    }

    /// Closes a caller's stream and gives it another one.
    pub fn replace(&mut self, caller: usize, stream: TcpStream, wants: EventFlags) {
        epoll::add(&self.epoll, &stream, EventData::new_u64(caller as u64), wants).unwrap();
        self.streams[caller] = stream;
    }

    /// Wants to hear of this from now on.
    pub fn want(&self, caller: usize, wants: EventFlags) {
        let number = EventData::new_u64(caller as u64);
        epoll::modify(&self.epoll, &self.streams[caller], number, wants).unwrap();
    }

    /// Waits until somebody can go on, and returns how many can.
    #[track_caller]
    pub fn wait(&mut self) -> usize {
        let count = self.collect(DEADLINE);
        assert!(count > 0, "the server is silent");
        count
    }

    /// Waits until somebody can go on, or the time is over. Unlike `epoll_wait`, `ppoll` does not
    /// count in milliseconds, which would let whoever waits for them go in crowds.
    pub fn wait_for(&mut self, time: Duration) -> usize {
        let time = Timespec::try_from(time).unwrap();
        let ready = poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&time)).unwrap();
        if ready == 0 { 0 } else { self.collect(Duration::ZERO) }
    }

    fn collect(&mut self, time: Duration) -> usize {
        let time = Timespec::try_from(time).unwrap();
        self.ready.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.ready), Some(&time)).unwrap()
    }

    /// Of those who can go on, the one at this place, and what it can do.
    pub fn ready(&self, at: usize) -> (usize, EventFlags) {
        let Event { data, flags, .. } = self.ready[at];
        (data.u64() as usize, flags)
    }

    /// Sends what the socket takes, and returns how many bytes that was.
    #[track_caller]
    pub fn send(&self, caller: usize, bytes: &[u8]) -> usize {
        match (&self.streams[caller]).write(bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("caller {caller} sends: {error}"),
        }
    }

    /// Sends bytes for which there is room, because few are on their way.
    #[track_caller]
    pub fn send_all(&self, caller: usize, bytes: &[u8]) {
        let sent = if bytes.is_empty() { 0 } else { self.send(caller, bytes) };
        assert_eq!(sent, bytes.len(), "caller {caller} has no room to send");
    }

    /// Receives once, and returns how many bytes came.
    #[track_caller]
    pub fn receive(&self, caller: usize, buffer: &mut [u8]) -> usize {
        match (&self.streams[caller]).read(buffer) {
            Ok(0) => panic!("the server hung up on caller {caller}"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("caller {caller} receives: {error}"),
        }
    }

    /// Every caller hears the end of its stream and nothing before it, and hangs up.
    #[track_caller]
    pub fn expect_end(self) {
        for mut stream in self.streams {
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "more came than was sent");
        }
    }

    /// From now on a stream that we close is reset, and its port is free at once.
    pub fn reset_at_close(&self) {
        self.streams.iter().for_each(reset_at_close);
    }
}

/// Closing this stream will reset it.
pub fn reset_at_close(stream: &TcpStream) {
    set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
}

/// A stream that is open, or with `NONBLOCK` perhaps about to be.
pub fn dial(address: SocketAddrV4, source: Option<Ipv4Addr>, flags: SocketFlags) -> TcpStream {
    let flags = flags | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    set_tcp_nodelay(&socket, true).unwrap();
    if let Some(source) = source {
        bind(&socket, &SocketAddrV4::new(source, 0)).unwrap();
    }
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => TcpStream::from(socket),
        Err(error) => panic!("connecting to {address}: {error}"),
    }
}

/// Lets us and the servers that we start open as many sockets as the system allows.
pub fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// `payload` behind its length, as `--framing length:4be` has it.
pub fn framed(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes(), payload].concat()
}
