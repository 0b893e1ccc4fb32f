//! How much of what was written the peer's kernel has not acknowledged.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::os::fd::BorrowedFd;

use rustix::ioctl::{Getter, Opcode, ioctl};

/// `SIOCOUTQ`, which has the number of `TIOCOUTQ` (tcp(7), ioctl_tty(2)).
const SIOCOUTQ: Opcode = 0x5411;

/// In bytes; 0 for a descriptor that is no socket of TCP or Unix.
pub(super) fn bytes(socket: BorrowedFd<'_>) -> usize {
    // SAFETY: this request writes one `int` to where its argument points, and does nothing else.
    let outcome = unsafe { ioctl(socket, Getter::<SIOCOUTQ, c_int>::new()) };
    outcome.ok().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn what_the_peer_does_not_take_is_outstanding() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        assert_eq!(bytes(ours.as_fd()), 0);
        ours.set_nonblocking(true).unwrap();
        while ours.write(&[0; 65_536]).is_ok() {}
        let before = bytes(ours.as_fd());
        assert!(before > 0);
        let mut taken = vec![0; 4 << 20];
        theirs.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        while bytes(ours.as_fd()) == before {
            assert!(theirs.read(&mut taken).unwrap() > 0);
        }
        assert!(bytes(ours.as_fd()) < before);
    }
}
