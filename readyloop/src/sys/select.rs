//! The select(2) back-end, for the comparison: one bit for each descriptor, up to the largest one,
//! crosses into the kernel and back with every wait.
//!
//! The sets live on the heap and are as long as the largest descriptor needs, so `FD_SETSIZE`
//! (1,024) is no limit: the kernel itself has none but the descriptor table.
//!
//! What select cannot say: that a peer has finished while nobody wants to read, and which error
//! there is. An error makes a socket readable and writable, so a session learns of it by its next
//! read or write.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use rustix::event::epoll::{Event, EventFlags};
use rustix::event::{
    FdSetElement, FdSetIter, fd_set_bound, fd_set_insert, fd_set_num_elements, fd_set_remove,
    select,
};
use rustix::io::Errno;

use crate::id::Token;
use crate::readiness::Interest;

use super::poller::{InterestList, Watches, event, timespec};

/// The interest list, as select(2) wants it.
#[derive(Default)]
pub(super) struct Select {
    watches: Watches,
    read: Sets,
    write: Sets,
    /// What the last wait found; kept for its room.
    found: Vec<(RawFd, EventFlags)>,
    /// Where the next report begins: behind the last descriptor of this one.
    turn: RawFd,
}

/// What is asked, and the copy that the kernel answers in.
#[derive(Default)]
struct Sets {
    asked: Vec<FdSetElement>,
    answered: Vec<FdSetElement>,
}

impl Sets {
    fn put(&mut self, fd: BorrowedFd<'_>, wanted: bool) {
        let fd = fd.as_raw_fd();
        let elements = fd_set_num_elements(0, fd + 1);
        if self.asked.len() < elements {
            self.asked.resize(elements, FdSetElement::default());
            self.answered.resize(elements, FdSetElement::default());
        }
        match wanted {
            true => fd_set_insert(&mut self.asked, fd),
            false => fd_set_remove(&mut self.asked, fd),
        }
    }

    fn ask(&mut self) -> &mut [FdSetElement] {
        self.answered.copy_from_slice(&self.asked);
        &mut self.answered
    }
}

impl Select {
    fn want(&mut self, fd: BorrowedFd<'_>, want: Interest) {
        self.read.put(fd, want.reads());
        self.write.put(fd, want.writes());
    }

    /// Appends what was found, beginning behind the last descriptor that was reported before.
    fn report(&mut self, ready: &mut Vec<Event>, most: usize) {
        let readable = FdSetIter::new(&self.read.answered).map(|fd| (fd, EventFlags::IN));
        let writable = FdSetIter::new(&self.write.answered).map(|fd| (fd, EventFlags::OUT));
        self.found.clear();
        self.found.extend(readable.chain(writable));
        self.found.sort_unstable_by_key(|(fd, _)| *fd);
        self.found.dedup_by(|(later, more), (fd, flags)| {
            let same = later == fd;
            if same {
                *flags |= *more;
            }
            same
        });
        let turn = self.turn;
        let start = self.found.partition_point(|(fd, _)| *fd < turn);
        let (before, behind) = self.found.split_at(start);
        for (fd, flags) in behind.iter().chain(before) {
            let Some(place) = self.watches.place(*fd) else { continue };
            let token = self.watches.token(place);
            if ready.len() == most {
                return;
            }
            ready.push(event(token, *flags));
            self.turn = fd + 1;
        }
    }
}

impl InterestList for Select {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, want: Interest) -> Result<(), Errno> {
        self.watches.add(fd, token)?;
        self.want(fd, want);
        Ok(())
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, want: Interest) -> Result<(), Errno> {
        self.watches.modify(fd, token)?;
        self.want(fd, want);
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) {
        if self.watches.remove(fd).is_some() {
            self.want(fd, Interest::NONE);
        }
    }

    fn wait(
        &mut self,
        ready: &mut Vec<Event>,
        most: usize,
        timeout: Option<Duration>,
    ) -> Result<(), Errno> {
        let end = fd_set_bound(&self.read.asked).max(fd_set_bound(&self.write.asked));
        let (read, write) = (self.read.ask(), self.write.ask());
        // SAFETY: `Linux` removes every descriptor from the sets before it closes it, so each one
        // is open; and both sets are long enough for `end`, because `put` makes them equally long.
        let count =
            unsafe { select(end, Some(read), Some(write), None, timespec(timeout).as_ref())? };
        if count > 0 {
            self.report(ready, most);
        }
        Ok(())
    }
}
