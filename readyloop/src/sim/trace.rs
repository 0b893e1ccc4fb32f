//! The history of a net in words, one event a line: what the kernels were asked and have answered, and
//! what the clients did. For a test that keeps it and shows what has changed.
//!
//! It is made only if it was asked for, and says nothing that differs between two runs, machines or
//! builds: no address of memory, no name that an operating system chooses, no time but the virtual one.

use std::fmt::{self, Write};
use std::time::Duration;

use super::world::World;
use crate::clock::Now;
use crate::error::Errno;
use crate::id::{Source, Token};
use crate::kernel::{Accept, Connect, Interest, Io, Ready};

use super::SimSocket;

impl World {
    /// A line about a call of the kernel that acts.
    pub(super) fn trace_call(&mut self, line: impl FnOnce() -> String) {
        let acting = self.acting;
        self.trace(|| format!("k{acting} {}", line()));
    }

    /// Any line.
    pub(super) fn trace(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    /// How a wait ended: when, and what is ready.
    pub(super) fn trace_wait(&mut self, kernel: usize, timeout: Option<Duration>) {
        if self.trace.is_none() {
            return;
        }
        let mut line = match timeout {
            None => "wait".to_string(),
            Some(span) => format!("wait {}", millis(span.as_nanos())),
        };
        let _never = write!(line, " = {}", millis(self.now.since(Now::ZERO).as_nanos()));
        for ready in &self.pollers[kernel].ready {
            let _never = write!(line, ", {} {}", name(ready.token), flags(*ready));
        }
        self.trace_call(|| line);
    }
}

/// Nanoseconds as milliseconds, exactly, without zeros at the end.
fn millis(nanos: u128) -> String {
    let text = format!("{}.{:06}", nanos / 1_000_000, nanos % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_string() + "ms"
}

fn name(token: Token) -> String {
    match token.source() {
        Source::Listener(number) => format!("listener {number}"),
        Source::Waker => "waker".to_string(),
        Source::Signals => "signals".to_string(),
        Source::Session(id) => id.to_string(),
    }
}

fn flags(ready: Ready) -> String {
    const NAMES: [(u32, &str); 6] = [
        (Ready::READABLE, "IN"),
        (Ready::URGENT, "PRI"),
        (Ready::WRITABLE, "OUT"),
        (Ready::ERROR, "ERR"),
        (Ready::HANGUP, "HUP"),
        (Ready::PEER_FINISHED, "RDHUP"),
    ];
    let set = NAMES.into_iter().filter(|(flag, _)| ready.any(*flag)).map(|(_, name)| name);
    set.collect::<Vec<_>>().join("|")
}

fn interest(want: Interest) -> &'static str {
    match (want.reads(), want.writes()) {
        (false, false) => "nothing",
        (true, false) => "IN",
        (false, true) => "OUT",
        (true, true) => "IN|OUT",
    }
}

/// The number and not the words, which are the C library's.
fn errno(errno: Errno) -> String {
    format!("errno {}", errno.0)
}

pub(super) fn answer<T: fmt::Display>(outcome: Result<T, Errno>) -> String {
    match outcome {
        Ok(value) => value.to_string(),
        Err(no) => errno(no),
    }
}

pub(super) fn done(outcome: Result<(), Errno>) -> String {
    answer(outcome.map(|()| "done"))
}

pub(super) fn socket(outcome: &Result<SimSocket, Errno>) -> String {
    match outcome {
        Ok(SimSocket { index, link }) => format!("s{index} to c{link}"),
        Err(no) => errno(*no),
    }
}

pub(super) fn error(error: Option<Errno>) -> String {
    error.map_or("none".to_string(), errno)
}

pub(super) fn watch(
    call: &str,
    socket: &SimSocket,
    token: Token,
    want: Interest,
    outcome: Result<(), Errno>,
) -> String {
    let (socket, token, want) = (socket.index, name(token), interest(want));
    format!("{call} s{socket} {token} {want} = {}", done(outcome))
}

pub(super) fn io(io: Io) -> String {
    match io {
        Io::Done(bytes) => bytes.to_string(),
        Io::WouldBlock => "would block".to_string(),
        Io::Finished => "end".to_string(),
        Io::Exhausted(no) | Io::Failed(no) => errno(no),
    }
}

pub(super) fn accept(accept: &Accept<SimSocket>) -> String {
    match accept {
        Accept::Socket(socket, _) => format!("s{} of c{}", socket.index, socket.link),
        Accept::Empty => "nobody".to_string(),
        Accept::Skipped(no) => format!("skipped, {}", errno(*no)),
        Accept::Exhausted(no) => errno(*no),
    }
}

pub(super) fn connect(connect: &Connect) -> String {
    match connect {
        Connect::Pending(want) => format!("waits for {}", interest(*want)),
        Connect::Done(None) => "done".to_string(),
        Connect::Done(Some(address)) => format!("done, of {address}"),
        Connect::Finished => "finished".to_string(),
        Connect::Failed(no) => errno(*no),
        Connect::Refused(why) => format!("refused, {why}"),
    }
}
