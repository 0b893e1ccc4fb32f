//! What a thread of a server may ask of Linux for itself: a CPU, and a descriptor table.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::sync::Arc;

use rustix::io::Errno as RustixErrno;
use rustix::thread::{CpuSet, UnshareFlags, sched_getaffinity, sched_setaffinity, unshare_unsafe};

use crate::error::{Error, Result};

use super::{Reserve, plain_errno};

/// The CPUs that a server may use: read before any of its threads is pinned, because a thread
/// inherits what the one that spawned it may use.
#[derive(Clone, Debug)]
pub(crate) struct Cpus(Vec<usize>);

/// While it lives, the thread that made it runs on one CPU alone; then where it was allowed before.
#[derive(Debug)]
pub(crate) struct Pinned {
    before: CpuSet,
    /// Of that thread, so it must not leave it.
    _here: PhantomData<*const ()>,
}

impl Cpus {
    /// Those that the calling thread may use.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(crate) fn allowed() -> Result<Cpus> {
        let allowed = affinity()?;
        Ok(Cpus((0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect()))
    }

    /// Lets this thread run on one CPU alone: the `nth` of them, counted round.
    ///
    /// # Errors
    /// When the kernel does not allow it.
    pub(crate) fn pin(&self, nth: usize) -> Result<Pinned> {
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

/// Whose descriptors are counted against `RLIMIT_NOFILE`, and found in one table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FdTables {
    per_reactor: bool,
}

impl FdTables {
    /// All threads have one table, as usual.
    pub const fn shared() -> FdTables {
        FdTables { per_reactor: false }
    }

    /// Each reactor has a table of its own (unshare(2), `CLONE_FILES`): it shares no lock with the
    /// others, and one process may hold more sessions than `RLIMIT_NOFILE` says.
    ///
    /// What is open when [`Server::run`](crate::Server::run) is called can be used by every thread,
    /// and stays open in every reactor's table until the reactor ends, also if it is closed before.
    ///
    /// # Safety
    /// While a server with such tables runs, a number that is a descriptor on one thread may be
    /// another one, or none, on the next. The compiler does not know that: an
    /// [`OwnedFd`](std::os::fd::OwnedFd) may be sent to any thread. So whoever asks for this promises
    /// for all code in the process:
    ///
    /// * A descriptor that was opened on a reactor's thread, by a handler or by what
    ///   [`Remote::run_on`](crate::Remote::run_on) runs there, is used and dropped on that thread
    ///   alone, or on threads that were spawned there.
    /// * A descriptor that was opened on another thread after `run` was called is neither used nor
    ///   dropped on a reactor's thread. A signal's handler runs on any thread, so it uses none.
    ///
    /// The same holds for what has a descriptor inside: a file, a pipe, a
    /// [`Remote`](crate::Remote) of another server that was bound meanwhile.
    ///
    /// ```compile_fail,E0133
    /// let tables = readyloop::FdTables::per_reactor();
    /// ```
    pub const unsafe fn per_reactor() -> FdTables {
        FdTables { per_reactor: true }
    }

    /// Gives a reactor's thread the table that it is to have: that of its server, whose reserve is
    /// `servers`, or its own, which begins as a copy. Returns the reserve of that table.
    ///
    /// # Errors
    /// When the kernel is out of memory, or of descriptors.
    pub(crate) fn enter(self, servers: Arc<Reserve>) -> Result<Arc<Reserve>> {
        if !self.per_reactor {
            return Ok(servers);
        }
        // SAFETY: descriptors that were open before keep their numbers, because the table is copied.
        // Of all others, `per_reactor` was promised that they do not change threads; and those that
        // the server itself opens while it runs, this thread's kernel, listeners and sessions, stay
        // with the thread's reactor.
        unsafe { unshare_unsafe(UnshareFlags::FILES) }
            .map_err(|errno| Error::system("making a descriptor table", plain_errno(errno)))?;
        Reserve::new().map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_thread_with_descriptors_of_its_own_does_not_use_up_those_of_others() {
        let (theirs, there) = std::thread::spawn(|| {
            let of_all = Arc::new(Reserve::new().unwrap());
            // SAFETY: what this thread opens stays with it, and it uses nothing of others.
            let own = unsafe { FdTables::per_reactor() }.enter(of_all.clone()).unwrap();
            assert!(!Arc::ptr_eq(&own, &of_all), "the reserve of another table is of no use");
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
