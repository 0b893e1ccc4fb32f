//! The limit of a hand-off to workers: an epoll loop that reads, and gives each session with its frames
//! to one of two threads; these write the answers down, and the loop sends them. No limits, no timers, no
//! ids, no panics caught, and every session keeps its buffers. What does not leave at once is lost.
//!
//!     hand_off single | condvar | park | channel
//!
//! `single` is the same on one thread; the others differ in what the workers wait at.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, Thread};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send, sockopt};

const WORKERS: usize = 2;
const LISTENER: u64 = u64::MAX;
const WAKER: u64 = u64::MAX - 1;

/// A connection. On workers the box moves: who has it is the only one.
struct Session {
    socket: OwnedFd,
    input: Vec<u8>,
    /// How many bytes of `input` have come and are not answered.
    filled: usize,
    output: Vec<u8>,
}

impl Session {
    /// The part of a handler: each frame by itself, copied behind a prefix that is written for it.
    #[inline(never)]
    fn answer(&mut self) {
        let mut at = 0;
        while let Some(prefix) = self.input[at..self.filled].first_chunk::<4>() {
            let length = u32::from_be_bytes(*prefix) as usize;
            assert!(length <= peers::FRAME_BYTES_MAX, "a frame is too long");
            let Some(frame) = self.input[at..self.filled].get(4..4 + length) else { break };
            self.output.extend_from_slice(prefix);
            self.output.extend_from_slice(frame);
            at += 4 + length;
        }
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
    }

    /// Whether the connection lives on.
    fn read(&mut self) -> bool {
        if self.filled == self.input.len() {
            self.input.resize(2 * self.filled, 0);
        }
        match recv(&self.socket, &mut self.input[self.filled..], RecvFlags::empty()) {
            Ok((_, 0)) => false,
            Ok((_, count)) => {
                self.filled += count;
                true
            }
            Err(errno) => errno == Errno::AGAIN,
        }
    }

    fn write(&mut self) -> bool {
        let sent =
            self.output.is_empty() || send(&self.socket, &self.output, SendFlags::NOSIGNAL).is_ok();
        self.output.clear();
        sent
    }
}

/// How sessions come to the workers.
trait Queue: Send + Sync + 'static {
    /// All that a turn has for them.
    fn add(&self, sessions: &mut Vec<Box<Session>>);
    /// The next one, when there is one.
    fn take(&self) -> Box<Session>;
}

/// A list under a lock, and a condition variable for those who wait; one of them is woken at a time.
#[derive(Default)]
struct Condition {
    list: Mutex<Listed>,
    wake: Condvar,
}

#[derive(Default)]
struct Listed {
    sessions: VecDeque<Box<Session>>,
    /// Workers that wait.
    asleep: usize,
    /// Whether one of them was woken and has not looked yet.
    called: bool,
}

impl Condition {
    fn wake_next(&self, mut list: MutexGuard<'_, Listed>) {
        if !list.sessions.is_empty() && list.asleep > 0 && !list.called {
            list.called = true;
            drop(list);
            self.wake.notify_one();
        }
    }
}

impl Queue for Condition {
    fn add(&self, sessions: &mut Vec<Box<Session>>) {
        let mut list = self.list.lock().unwrap();
        list.sessions.extend(sessions.drain(..));
        self.wake_next(list);
    }

    fn take(&self) -> Box<Session> {
        let mut list = self.list.lock().unwrap();
        loop {
            if let Some(session) = list.sessions.pop_front() {
                self.wake_next(list);
                return session;
            }
            list.asleep += 1;
            while !list.called {
                list = self.wake.wait(list).unwrap();
            }
            list.called = false;
            list.asleep -= 1;
        }
    }
}

/// crossbeam's channel, one message for each session.
struct Channel(crossbeam_channel::Sender<Box<Session>>, crossbeam_channel::Receiver<Box<Session>>);

impl Queue for Channel {
    fn add(&self, sessions: &mut Vec<Box<Session>>) {
        sessions.drain(..).for_each(|session| self.0.send(session).unwrap());
    }

    fn take(&self) -> Box<Session> {
        self.1.recv().unwrap()
    }
}

/// A list under a lock, and the threads that have parked.
#[derive(Default)]
struct Parked {
    list: Mutex<(VecDeque<Box<Session>>, Vec<Thread>)>,
}

impl Queue for Parked {
    fn add(&self, sessions: &mut Vec<Box<Session>>) {
        let mut queue = self.list.lock().unwrap();
        queue.0.extend(sessions.drain(..));
        if let Some(sleeper) = queue.1.pop() {
            drop(queue);
            sleeper.unpark();
        }
    }

    fn take(&self) -> Box<Session> {
        loop {
            let mut queue = self.list.lock().unwrap();
            if let Some(session) = queue.0.pop_front() {
                if !queue.0.is_empty()
                    && let Some(sleeper) = queue.1.pop()
                {
                    drop(queue);
                    sleeper.unpark();
                }
                return session;
            }
            queue.1.push(thread::current());
            drop(queue);
            thread::park();
        }
    }
}

/// The way back.
struct Back {
    list: Mutex<Returned>,
    waker: OwnedFd,
}

#[derive(Default)]
struct Returned {
    sessions: Vec<Box<Session>>,
    /// Whether the loop waits, and must be woken.
    sleeps: bool,
}

fn work(queue: &impl Queue, back: &Back) -> ! {
    loop {
        let mut session = queue.take();
        session.answer();
        let mut returned = back.list.lock().unwrap();
        returned.sessions.push(session);
        if std::mem::take(&mut returned.sleeps) {
            drop(returned);
            // Watched for its edge, so nobody has to read it.
            rustix::io::write(&back.waker, &1u64.to_ne_bytes()).unwrap();
        }
    }
}

enum Slot {
    Free,
    Home(Box<Session>),
    /// With a worker; whether it was ready meanwhile.
    Away(bool),
}

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    /// By descriptor.
    slots: Vec<Slot>,
}

impl Server {
    fn new() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        peers::announce("hand_off", listener.local_addr().unwrap());
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN).unwrap();
        Server { epoll, listener, slots: Vec::new() }
    }

    fn watch(&self, fd: impl AsFd, data: u64) {
        epoll::add(&self.epoll, fd, EventData::new_u64(data), EventFlags::IN | EventFlags::ET)
            .unwrap();
    }

    fn accept(&mut self) {
        while let Ok(socket) =
            accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
        {
            sockopt::set_tcp_nodelay(&socket, true).unwrap();
            let fd = socket.as_raw_fd() as usize;
            self.watch(&socket, fd as u64);
            let session =
                Session { socket, input: vec![0; 64 << 10], filled: 0, output: Vec::new() };
            self.slots.resize_with(self.slots.len().max(fd + 1), || Slot::Free);
            self.slots[fd] = Slot::Home(Box::new(session));
        }
    }

    fn wait(&self, ready: &mut Vec<Event>, sleeps: bool) {
        ready.clear();
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let timeout = if sleeps { None } else { Some(&now) };
        match epoll::wait(&self.epoll, spare_capacity(ready), timeout) {
            Err(Errno::INTR) => {}
            outcome => drop(outcome.unwrap()),
        }
    }

    /// All on this thread.
    fn serve(&mut self) -> ! {
        let mut ready = Vec::with_capacity(256);
        loop {
            self.wait(&mut ready, true);
            for event in &ready {
                let data = event.data.u64();
                if data == LISTENER {
                    self.accept();
                } else if let Slot::Home(session) = &mut self.slots[data as usize] {
                    let mut lives = session.read();
                    if lives {
                        session.answer();
                        lives = session.write();
                    }
                    if !lives {
                        self.slots[data as usize] = Slot::Free;
                    }
                }
            }
        }
    }

    /// Answers are written by two other threads.
    fn hand_off(&mut self, queue: impl Queue) -> ! {
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap();
        self.watch(&waker, WAKER);
        let shared = Arc::new((queue, Back { list: Mutex::default(), waker }));
        for _ in 0..WORKERS {
            let shared = shared.clone();
            thread::spawn(move || work(&shared.0, &shared.1));
        }
        let (queue, back) = &*shared;
        let (mut ready, mut leaving, mut returned) =
            (Vec::with_capacity(256), Vec::new(), Vec::new());
        loop {
            let sleeps = {
                let mut list = back.list.lock().unwrap();
                list.sleeps = list.sessions.is_empty();
                list.sleeps
            };
            self.wait(&mut ready, sleeps);
            {
                let mut list = back.list.lock().unwrap();
                list.sleeps = false;
                std::mem::swap(&mut list.sessions, &mut returned);
            }
            for session in returned.drain(..) {
                self.come_home(session, &mut leaving);
            }
            for event in &ready {
                self.event(event.data.u64(), &mut leaving);
            }
            if !leaving.is_empty() {
                queue.add(&mut leaving);
            }
        }
    }

    #[inline(never)]
    fn come_home(&mut self, mut session: Box<Session>, leaving: &mut Vec<Box<Session>>) {
        let fd = session.socket.as_raw_fd() as usize;
        let was_ready = matches!(self.slots[fd], Slot::Away(true));
        let lives = session.write();
        self.slots[fd] = if lives { Slot::Home(session) } else { Slot::Free };
        if was_ready {
            self.event(fd as u64, leaving);
        }
    }

    #[inline(never)]
    fn event(&mut self, data: u64, leaving: &mut Vec<Box<Session>>) {
        match data {
            LISTENER => return self.accept(),
            WAKER => return,
            _ => {}
        }
        let slot = &mut self.slots[data as usize];
        match std::mem::replace(slot, Slot::Away(false)) {
            Slot::Home(mut session) => match session.read() {
                true => leaving.push(session),
                false => *slot = Slot::Free,
            },
            Slot::Away(_) => *slot = Slot::Away(true),
            Slot::Free => *slot = Slot::Free,
        }
    }
}

fn main() {
    let how = std::env::args().nth(1).unwrap_or_default();
    let mut server = Server::new();
    match how.as_str() {
        "single" => server.serve(),
        "condvar" => server.hand_off(Condition::default()),
        "channel" => {
            let (sender, receiver) = crossbeam_channel::unbounded();
            server.hand_off(Channel(sender, receiver))
        }
        "park" => server.hand_off(Parked::default()),
        _ => panic!("one of single, condvar, park, channel"),
    }
}
