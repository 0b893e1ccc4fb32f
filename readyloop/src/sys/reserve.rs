//! The descriptor in reserve: given up for a moment when descriptors have run out, to hang up on a
//! caller with it.
//!
//! In that moment any thread of the process may take it. So it belongs to the descriptor table, and not
//! to one kernel: whichever kernel of the server finds a descriptor next opens the reserve again before
//! it takes anybody, and one that has just got the last descriptor knows whether it was this one.
//!
//! Thread contract: any-thread, of those that share the descriptor table.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::retry_on_intr;

use crate::error::{Error, Result};

use super::plain_errno;

/// The reserve of one descriptor table.
#[derive(Debug)]
pub(crate) struct Reserve {
    /// Locked while it is given up: nobody can know sooner whether it is lost.
    held: Mutex<Option<OwnedFd>>,
    /// It is given up, or lost.
    is_missing: AtomicBool,
}

impl Reserve {
    /// Opens it, in the table of this thread.
    ///
    /// # Errors
    /// Descriptors that have run out.
    pub(crate) fn new() -> Result<Reserve> {
        let fd = take_descriptor().map_err(|errno| {
            Error::system("keeping a descriptor in reserve", plain_errno(errno))
        })?;
        Ok(Reserve { held: Mutex::new(Some(fd)), is_missing: AtomicBool::new(false) })
    }

    /// Opens it again if it is missing.
    pub(super) fn regain(&self) -> rustix::io::Result<()> {
        // Whoever has got its descriptor finds this: it was said before the close, and the kernel's lock
        // on the table lies between the close and whatever takes the descriptor then.
        if !self.is_missing.load(Ordering::Acquire) {
            return Ok(());
        }
        self.open_again(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives it up while `act` runs, which wants a descriptor and leaves none behind. `false` also if it
    /// is missing.
    pub(super) fn give_up(&self, act: impl FnOnce() -> bool) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            return false;
        }
        self.is_missing.store(true, Ordering::Release);
        drop(held.take());
        let done = act();
        // If another thread has taken it, it is missing until somebody finds a descriptor.
        let _missing = self.open_again(&mut held);
        done
    }

    fn open_again(&self, held: &mut Option<OwnedFd>) -> rustix::io::Result<()> {
        if held.is_none() {
            *held = Some(take_descriptor()?);
        }
        self.is_missing.store(false, Ordering::Release);
        Ok(())
    }
}

fn take_descriptor() -> rustix::io::Result<OwnedFd> {
    retry_on_intr(|| open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()))
}
