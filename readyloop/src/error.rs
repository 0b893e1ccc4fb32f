//! Two kinds of "no": [`Errno`], the kernel's answer to one call, and [`Error`], why a server could
//! not start or could not go on.
//!
//! Neither is how a session ends: that is a `CloseReason`.

use std::fmt;

/// The kernel's number for a failed call, as in errno(3).
///
/// A newtype and not an enum, because numbers that nobody listed must be representable.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// `EPERM`: a firewall forbids it.
    pub const PERM: Errno = Errno(1);
    /// `ENOMEM`: the kernel is out of memory.
    pub const NOMEM: Errno = Errno(12);
    /// `ENFILE`: the whole system is out of file descriptors.
    pub const NFILE: Errno = Errno(23);
    /// `EMFILE`: the process is out of file descriptors.
    pub const MFILE: Errno = Errno(24);
    /// `ENOSPC`: out of watches (epoll(7), `max_user_watches`).
    pub const NOSPC: Errno = Errno(28);
    /// `EPIPE`: writing where the peer has ended the connection.
    pub const PIPE: Errno = Errno(32);
    /// `EADDRINUSE`: somebody else listens there.
    pub const ADDRINUSE: Errno = Errno(98);
    /// `ECONNABORTED`: the caller hung up before accept returned.
    pub const CONNABORTED: Errno = Errno(103);
    /// `ECONNRESET`: the peer tore the connection down.
    pub const CONNRESET: Errno = Errno(104);
    /// `ENOBUFS`: the kernel is out of memory for buffers.
    pub const NOBUFS: Errno = Errno(105);
    /// `ETIMEDOUT`: the peer stopped answering the kernel.
    pub const TIMEDOUT: Errno = Errno(110);
    /// `ECONNREFUSED`: nobody listens there.
    pub const CONNREFUSED: Errno = Errno(111);
    /// `EHOSTUNREACH`: no way to the peer.
    pub const HOSTUNREACH: Errno = Errno(113);
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}, {self})", self.0)
    }
}

impl std::error::Error for Errno {}

/// Why a server could not start, or could not go on. One word wide; ask it with the predicates.
pub struct Error(Box<Inner>);

/// What the library's fallible functions return.
pub type Result<T> = std::result::Result<T, Error>;

struct Inner {
    kind: Kind,
    what: String,
    errno: Option<Errno>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Settings,
    System,
}

impl Error {
    /// The caller's settings contradict themselves or this machine.
    #[cold]
    pub fn settings(what: impl Into<String>) -> Error {
        Error(Box::new(Inner { kind: Kind::Settings, what: what.into(), errno: None }))
    }

    /// The operating system said no while readyloop was doing `what`.
    #[cold]
    pub fn system(what: impl Into<String>, errno: Errno) -> Error {
        Error(Box::new(Inner { kind: Kind::System, what: what.into(), errno: Some(errno) }))
    }

    /// Whether the caller must change a setting, as opposed to the machine's state.
    pub fn is_settings(&self) -> bool {
        self.0.kind == Kind::Settings
    }

    /// Whether the address is taken by another listener.
    pub fn is_address_in_use(&self) -> bool {
        self.0.errno == Some(Errno::ADDRINUSE)
    }

    /// The kernel's number, when a system call was the cause.
    pub fn errno(&self) -> Option<Errno> {
        self.0.errno
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.errno {
            Some(errno) => write!(f, "{}: {errno}", self.0.what),
            None => f.write_str(&self.0.what),
        }
    }
}

impl fmt::Debug for Error {
    /// The same words as `Display`, because `fn main() -> readyloop::Result<()>` prints this.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn an_error_says_what_was_tried_and_what_the_kernel_said() {
        let error = Error::system("listening on 127.0.0.1:7000", Errno::ADDRINUSE);
        assert_eq!(
            error.to_string(),
            "listening on 127.0.0.1:7000: Address already in use (os error 98)"
        );
        assert!(error.is_address_in_use() && !error.is_settings());
    }
}
