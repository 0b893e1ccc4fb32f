//! The poll(2) back-end, for the comparison: the whole interest list crosses into the kernel and
//! back with every wait.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use rustix::event::epoll::{Event, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::id::Token;
use crate::readiness::Interest;

use super::poller::{InterestList, Watches, event, timespec};

/// The interest list, as poll(2) wants it.
#[derive(Default)]
pub(super) struct Poll {
    watches: Watches,
    /// At each place what the watch at that place says.
    fds: Vec<PollFd<'static>>,
}

fn poll_fd(fd: BorrowedFd<'_>, want: Interest) -> PollFd<'static> {
    let mut flags = PollFlags::empty();
    if want.reads() {
        flags |= PollFlags::IN | PollFlags::RDHUP;
    }
    if want.writes() {
        flags |= PollFlags::OUT;
    }
    // SAFETY: `Linux` removes every descriptor from this list before it closes it, and the list is
    // dropped with the `Linux` that does so; so the descriptor is open as long as it is in the
    // list.
    let fd = unsafe { BorrowedFd::borrow_raw(fd.as_raw_fd()) };
    PollFd::from_borrowed_fd(fd, flags)
}

impl InterestList for Poll {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, want: Interest) -> Result<(), Errno> {
        self.watches.add(fd, token)?;
        self.fds.push(poll_fd(fd, want));
        Ok(())
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, want: Interest) -> Result<(), Errno> {
        let place = self.watches.modify(fd, token)?;
        self.fds[place] = poll_fd(fd, want);
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) {
        if let Some(place) = self.watches.remove(fd) {
            self.fds.swap_remove(place);
        }
    }

    fn wait(
        &mut self,
        ready: &mut Vec<Event>,
        most: usize,
        timeout: Option<Duration>,
    ) -> Result<(), Errno> {
        let mut left = poll(&mut self.fds, timespec(timeout).as_ref())?;
        for place in self.watches.walk() {
            if left == 0 || ready.len() == most {
                break;
            }
            let seen = self.fds[place].revents();
            if !seen.is_empty() {
                left -= 1;
                let flags = EventFlags::from_bits_retain(u32::from(seen.bits()));
                ready.push(event(self.watches.token(place), flags));
                self.watches.reported(place);
            }
        }
        Ok(())
    }
}
