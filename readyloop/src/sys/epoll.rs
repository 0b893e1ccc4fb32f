//! The epoll(7) back-end: the kernel keeps the interest list and hands out the ready list.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::id::{Source, Token};
use crate::readiness::{Interest, Trigger};

use super::poller::{InterestList, timespec};

/// All that a session under edge is told of, once. Urgent marks too: a read stops at one, and only
/// this flag says that its being short proves nothing.
const EDGE: EventFlags = EventFlags::IN
    .union(EventFlags::PRI)
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);

/// One epoll instance.
pub(super) struct Epoll {
    epoll: OwnedFd,
    trigger: Trigger,
}

impl Epoll {
    pub(super) fn new(trigger: Trigger) -> Result<Epoll, Errno> {
        Ok(Epoll { epoll: retry_on_intr(|| epoll::create(CreateFlags::CLOEXEC))?, trigger })
    }

    /// Under edge a session is registered for everything, once. The reactor's own fixtures are only
    /// read: an eventfd that is read has room again, which would be an edge of its own. The waker is
    /// under edge always: each write to an eventfd is an edge, also if it was not read since the last
    /// one (`eventfd_write` wakes whoever watches it), and a read would be a call for each wake.
    fn flags(&self, token: Token, want: Interest) -> EventFlags {
        match (self.trigger, token.source()) {
            (_, Source::Waker) => return EventFlags::IN | EventFlags::ET,
            (Trigger::Level, _) => {}
            (Trigger::Edge, Source::Session(_)) => return EDGE,
            (Trigger::Edge, _) => return EventFlags::IN | EventFlags::ET,
        }
        let mut flags = EventFlags::empty();
        if want.reads() {
            flags |= EventFlags::IN | EventFlags::RDHUP;
        }
        if want.writes() {
            flags |= EventFlags::OUT;
        }
        flags
    }
}

impl InterestList for Epoll {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, want: Interest) -> Result<(), Errno> {
        let data = EventData::new_u64(token.to_bits());
        let flags = self.flags(token, want);
        retry_on_intr(|| epoll::add(&self.epoll, fd, data, flags))
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, want: Interest) -> Result<(), Errno> {
        let data = EventData::new_u64(token.to_bits());
        let flags = self.flags(token, want);
        retry_on_intr(|| epoll::modify(&self.epoll, fd, data, flags))
    }

    /// Closing the last descriptor of a socket removes it: no call is needed, because descriptors
    /// are never duplicated here.
    fn remove(&mut self, _fd: BorrowedFd<'_>) {}

    fn forget(&mut self, fd: BorrowedFd<'_>) {
        // It can only fail if the descriptor is not in there, which is what is wanted.
        let _not_there = epoll::delete(&self.epoll, fd);
    }

    fn tells_wakes_once(&self) -> bool {
        true
    }

    #[inline]
    fn wait(
        &mut self,
        ready: &mut Vec<Event>,
        _most: usize,
        timeout: Option<Duration>,
    ) -> Result<(), Errno> {
        epoll::wait(&self.epoll, spare_capacity(ready), timespec(timeout).as_ref())?;
        Ok(())
    }
}
