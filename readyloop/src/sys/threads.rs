//! What a thread of a server may ask of Linux for itself: a CPU, and a descriptor table.
#![allow(unsafe_code)]

use rustix::io::Errno as RustixErrno;
use rustix::thread::{CpuSet, UnshareFlags, sched_getaffinity, sched_setaffinity, unshare_unsafe};

use crate::error::{Error, Result};

use super::plain_errno;

/// Lets this thread run on one CPU alone: the `nth` of those that it may use, counted round.
///
/// # Errors
/// When the kernel does not allow it.
pub fn pin(nth: usize) -> Result<()> {
    let failed = |errno: RustixErrno| Error::system("pinning a thread", plain_errno(errno));
    let allowed = sched_getaffinity(None).map_err(failed)?;
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    let mut only = CpuSet::new();
    only.set(cpus[nth % cpus.len()]);
    sched_setaffinity(None, &only).map_err(failed)
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
    fn a_pinned_thread_may_use_one_cpu() {
        let count = std::thread::spawn(|| {
            pin(1).unwrap();
            sched_getaffinity(None).unwrap().count()
        });
        assert_eq!(count.join().unwrap(), 1);
    }
}
