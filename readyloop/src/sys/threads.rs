//! What a thread of a server may ask of Linux for itself: a CPU, and a descriptor table.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use rustix::io::Errno as RustixErrno;
use rustix::thread::{CpuSet, UnshareFlags, sched_getaffinity, sched_setaffinity, unshare_unsafe};

use crate::error::{Error, Result};

use super::plain_errno;

/// The CPUs that a server may use: read before any of its threads is pinned, because a thread
/// inherits what the one that spawned it may use.
#[derive(Clone, Debug)]
pub struct Cpus(Vec<usize>);

/// While it lives, the thread that made it runs on one CPU alone; then where it was allowed before.
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
    /// Of that thread, so it must not leave it.
    _here: PhantomData<*const ()>,
}

impl Cpus {
    /// Those that the calling thread may use.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn allowed() -> Result<Cpus> {
        let allowed = affinity()?;
        Ok(Cpus((0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect()))
    }

    /// Lets this thread run on one CPU alone: the `nth` of them, counted round.
    ///
    /// # Errors
    /// When the kernel does not allow it.
    pub fn pin(&self, nth: usize) -> Result<Pinned> {
        let before = affinity()?;
        let mut only = CpuSet::new();
        only.set(self.0[nth % self.0.len()]);
        sched_setaffinity(None, &only).map_err(pinning)?;
        Ok(Pinned { before, _here: PhantomData })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // CPUs that were taken from the process meanwhile are left out by the kernel; if none is
        // left, the thread stays where it is.
        let _stays = sched_setaffinity(None, &self.before);
    }
}

fn affinity() -> Result<CpuSet> {
    sched_getaffinity(None).map_err(pinning)
}

fn pinning(errno: RustixErrno) -> Error {
    Error::system("pinning a thread", plain_errno(errno))
}

/// Gives this thread a descriptor table of its own, which begins as a copy of the one it had
/// (unshare(2), `CLONE_FILES`). `RLIMIT_NOFILE` counts for each table, and no lock is shared with
/// other threads when descriptors are opened and closed.
///
/// What was open before stays open, under the same number, until every table has closed it; what is
/// opened from now on exists in this thread only.
///
/// # Errors
/// When the kernel is out of memory.
pub fn own_descriptors() -> Result<()> {
    // SAFETY: a descriptor that this thread has got from another one before stays valid under its
    // number, because the table is copied; those that it opens from now on stay with it, and those
    // that others open are never given to it.
    unsafe { unshare_unsafe(UnshareFlags::FILES) }
        .map_err(|errno| Error::system("making a descriptor table", plain_errno(errno)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_thread_with_descriptors_of_its_own_does_not_use_up_those_of_others() {
        let (theirs, there) = std::thread::spawn(|| {
            own_descriptors().unwrap();
            let opened = std::fs::File::open("/dev/null").unwrap();
            let number = opened.as_raw_fd();
            let seen = |task: &str| std::fs::exists(format!("/proc/{task}/fd/{number}")).unwrap();
            (seen("thread-self"), number)
        })
        .join()
        .unwrap();
        assert!(theirs, "descriptor {there} is open in the thread's own table");
    }

    #[test]
    fn a_thread_may_use_one_cpu_while_it_is_pinned_and_then_all_it_had() {
        std::thread::spawn(|| {
            let before = affinity().unwrap();
            let pinned = Cpus::allowed().unwrap().pin(1).unwrap();
            assert_eq!(affinity().unwrap().count(), 1);
            drop(pinned);
            assert_eq!(affinity().unwrap(), before);
        })
        .join()
        .unwrap();
    }
}
