//! SIGINT and SIGTERM as events: the signal handler writes a byte to a socket that the poller
//! watches.
//!
//! No thread waits for signals, and no handler does more than one write.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, recv};
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};

/// While it lives, the two signals no longer end the process.
pub(super) struct Signals {
    receiver: UnixStream,
    registered: Vec<SigId>,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Signals> {
        let (receiver, sender) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        let mut signals = Signals { receiver, registered: Vec::new() };
        for signal in [SIGINT, SIGTERM] {
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
