//! The waker: an eventfd(2) that any thread may write and the reactor's poller watches.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, retry_on_intr, write};

use crate::error::{Error, Result};
use crate::wake::Wake;

use super::plain_errno;

/// The descriptor, shared by all who may wake.
pub struct Waker(OwnedFd);

impl Waker {
    /// A waker that wakes whoever watches it.
    ///
    /// # Errors
    /// Descriptors that have run out.
    pub(crate) fn new() -> Result<Waker> {
        retry_on_intr(|| eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK))
            .map(Waker)
            .map_err(|errno| Error::system("making a waker", plain_errno(errno)))
    }

    /// Back to zero, so that it is not ready until the next wake.
    pub(super) fn clear(&self) {
        // EAGAIN: it was zero already, and the event that brought us here spurious.
        let _nothing_to_read = retry_on_intr(|| read(&self.0, &mut [0; 8]));
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Wake for Waker {
    fn wake(&self) {
        // EAGAIN: 2^64 wakes wait to be seen, so it is ready, which is all that a wake means.
        let _full = retry_on_intr(|| write(&self.0, &1u64.to_ne_bytes()));
    }
}
