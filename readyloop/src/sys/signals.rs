//! SIGINT, SIGTERM and SIGHUP as events: the signal handler writes a byte to a socket that the poller
//! watches.
//!
//! No thread waits for signals, and no handler does more than one write.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, recv};
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};

/// The signals that ask a process to end. SIGHUP only if it was not ignored when the process began: then
/// it is to outlive its terminal (nohup(1)).
pub fn stop_signals() -> Vec<i32> {
    let all = [SIGINT, SIGTERM, SIGHUP];
    all.into_iter().filter(|signal| *signal != SIGHUP || !is_ignored(*signal)).collect()
}

/// proc_pid_status(5): one bit for each signal, the lowest for the first.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// While it lives, these signals no longer end the process.
pub(super) struct Signals {
    receiver: UnixStream,
    registered: Vec<SigId>,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Signals> {
        let (receiver, sender) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        let mut signals = Signals { receiver, registered: Vec::new() };
        for signal in stop_signals() {
            signals.registered.push(pipe::register(signal, sender.try_clone()?)?);
        }
        Ok(signals)
    }

    /// How many came since the last call.
    pub(super) fn take(&self) -> usize {
        let mut bytes = [0; 16];
        let seen = retry_on_intr(|| recv(&self.receiver, &mut bytes[..], RecvFlags::DONTWAIT));
        seen.map_or(0, |(_, count)| count)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            unregister(id);
        }
    }
}
