//! The poller's contract: interest list in, ready list out. Three back-ends keep it.
//!
//! * What is in the interest list is reported under its token, as long as it is ready (level) or
//!   once when it becomes so (edge). Errors and hang-ups are reported whatever the interest is, but
//!   for select(2), which cannot.
//! * A descriptor is removed from the list before it is closed, so a reused number never carries an
//!   old token.
//! * When more are ready than the ready list holds, the rest is reported by the next waits, and
//!   nobody is passed over for ever.
//! * A wait does not return empty before its timeout has passed, except when a signal came.
#![allow(unsafe_code)]

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::str::FromStr;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::error::Error;
use crate::id::Token;
use crate::readiness::Interest;

/// Which system call tells about readiness.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Poller {
    /// epoll(7): a wait costs what is ready, whatever is open.
    #[default]
    Epoll,
    /// poll(2): a wait costs what is open. For comparison.
    Poll,
    /// select(2): a wait costs the largest descriptor. For comparison.
    Select,
}

impl Poller {
    /// All of them, with the names that [`Poller::from_str`] reads.
    pub const NAMES: [(&'static str, Poller); 3] =
        [("epoll", Poller::Epoll), ("poll", Poller::Poll), ("select", Poller::Select)];
}

impl fmt::Display for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Poller::Epoll => "epoll",
            Poller::Poll => "poll",
            Poller::Select => "select",
        })
    }
}

impl FromStr for Poller {
    type Err = Error;

    fn from_str(text: &str) -> Result<Poller, Error> {
        let found = Poller::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, poller)| *poller).ok_or_else(|| {
            Error::settings(format!("'{text}' is not a poller; epoll, poll and select are"))
        })
    }
}

/// What a wait has found.
pub(super) struct ReadyList(pub(super) Vec<Event>);

// SAFETY: all that keeps an event from crossing to another thread is that its data may be a
// pointer, and every event in this list has a number there: the ones made here, and those that the
// kernel gives back.
unsafe impl Send for ReadyList {}

/// One back-end.
pub(super) trait InterestList {
    /// Adds a descriptor. It must be removed before it is closed.
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, want: Interest) -> Result<(), Errno>;

    /// Changes what a descriptor in the list is watched for.
    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, want: Interest) -> Result<(), Errno>;

    /// Removes a descriptor that is about to be closed.
    fn remove(&mut self, fd: BorrowedFd<'_>);

    /// Removes a descriptor that stays open; it may be added again.
    fn forget(&mut self, fd: BorrowedFd<'_>) {
        self.remove(fd);
    }

    /// Whether each write to the waker is reported once, so that nobody has to read it.
    fn tells_wakes_once(&self) -> bool {
        false
    }

    /// Appends at most `most` events to `ready`, which is empty and has room for them.
    fn wait(
        &mut self,
        ready: &mut Vec<Event>,
        most: usize,
        timeout: Option<Duration>,
    ) -> Result<(), Errno>;
}

/// A longer sleep is cut into pieces: the calls count milliseconds in 31 bits.
const SLEEP_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The timeout as rustix takes it. Where the call counts in milliseconds, rustix rounds it up: a
/// timer that is awaited for too short a time would be awaited again and again.
#[inline]
pub(super) fn timespec(timeout: Option<Duration>) -> Option<Timespec> {
    let timeout = timeout?.min(SLEEP_MAX);
    Some(Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) })
}

pub(super) fn event(token: Token, flags: EventFlags) -> Event {
    Event { flags, data: EventData::new_u64(token.to_bits()) }
}

/// The interest list of a back-end that keeps it in this process: O(1) to change, and walked in an
/// order that can begin anywhere.
#[derive(Default)]
pub(super) struct Watches {
    list: Vec<Watch>,
    /// For each descriptor its place in `list`, or `NOWHERE`.
    places: Vec<u32>,
    /// Where the next walk begins.
    turn: usize,
}

struct Watch {
    fd: RawFd,
    token: Token,
}

const NOWHERE: u32 = u32::MAX;

impl Watches {
    pub(super) fn token(&self, place: usize) -> Token {
        self.list[place].token
    }

    /// Where the watch of a descriptor lies.
    pub(super) fn place(&self, fd: RawFd) -> Option<usize> {
        let place = *self.places.get(fd as usize)?;
        (place != NOWHERE).then_some(place as usize)
    }

    /// Adds a watch, and says where in the list it lies: at the end.
    pub(super) fn add(&mut self, fd: BorrowedFd<'_>, token: Token) -> Result<(), Errno> {
        if self.place(fd.as_raw_fd()).is_some() {
            return Err(Errno::EXIST);
        }
        let number = fd.as_raw_fd() as usize;
        if self.places.len() <= number {
            self.places.resize(number + 1, NOWHERE);
        }
        self.places[number] = self.list.len() as u32;
        self.list.push(Watch { fd: fd.as_raw_fd(), token });
        Ok(())
    }

    /// Changes a watch, and says where it lies.
    pub(super) fn modify(&mut self, fd: BorrowedFd<'_>, token: Token) -> Result<usize, Errno> {
        let place = self.place(fd.as_raw_fd()).ok_or(Errno::NOENT)?;
        self.list[place].token = token;
        Ok(place)
    }

    /// Takes a watch out, and says where it lay: the last one lies there now.
    pub(super) fn remove(&mut self, fd: BorrowedFd<'_>) -> Option<usize> {
        let place = self.place(fd.as_raw_fd())?;
        self.places[fd.as_raw_fd() as usize] = NOWHERE;
        self.list.swap_remove(place);
        if let Some(moved) = self.list.get(place) {
            self.places[moved.fd as usize] = place as u32;
        }
        Some(place)
    }

    /// Every place once, beginning behind the last one that was reported, so that with more ready
    /// than can be reported everybody has a turn.
    pub(super) fn walk(&self) -> impl Iterator<Item = usize> + use<> {
        let (count, turn) = (self.list.len(), self.turn.min(self.list.len()));
        (turn..count).chain(0..turn)
    }

    pub(super) fn reported(&mut self, place: usize) {
        self.turn = place + 1;
    }
}
