//! Listening sockets: TCP over IPv4 and IPv6, and Unix sockets with the care that their files need.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat, lstat, unlink};
use rustix::io::{Errno as RustixErrno, retry_on_intr};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
    sockopt,
};

use crate::address::Address;
use crate::error::{Errno, Error, Result};

use super::SocketOptions;
use super::address::{own_address, plain, with_kernel_form};

/// The longest path of a Unix socket in bytes (unix(7): 108 with the ending NUL).
const UNIX_PATH_BYTES_MAX: usize = 107;

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// How to listen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ListenOptions {
    /// Callers that the kernel keeps waiting; it caps the number at `net.core.somaxconn`
    /// (listen(2)).
    pub(crate) backlog: i32,
    /// Whether other sockets may listen on the same address and share its callers (`SO_REUSEPORT`).
    pub(crate) reuse_port: bool,
    /// What accepted sockets get.
    pub(crate) sockets: SocketOptions,
}

impl Default for ListenOptions {
    /// As many waiting callers as the kernel allows: `SOMAXCONN` of the headers is only what an old
    /// kernel allowed.
    fn default() -> ListenOptions {
        ListenOptions { backlog: i32::MAX, reuse_port: false, sockets: SocketOptions::default() }
    }
}

/// A listening socket: non-blocking, close-on-exec. A Unix socket's file is removed with it.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    address: Address,
    /// Removed when the listener is dropped.
    _file: Option<SocketFile>,
}

/// The file that stands for a Unix socket.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl Listener {
    /// Binds and listens: with `SO_REUSEADDR`, so that a restart need not wait for old connections'
    /// `TIME_WAIT`; an IPv6 socket takes IPv6 callers only, so that `[::]` and `0.0.0.0` may both
    /// be listened on.
    ///
    /// A Unix socket's file that nobody listens on is left over from a server that was killed, and
    /// is replaced; any other file is left alone.
    ///
    /// # Errors
    /// Names the address and what the kernel said.
    pub(crate) fn bind(address: &Address, options: &ListenOptions) -> Result<Listener> {
        Listener::bind_and(address, options, |socket| {
            retry_on_intr(|| listen(socket, options.backlog))
        })
    }

    /// Binds without listening: the address is taken, a port 0 becomes a real one, and nobody can
    /// call; for whoever will listen there with `SO_REUSEPORT`.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub(crate) fn reserve(address: &Address, options: &ListenOptions) -> Result<Listener> {
        Listener::bind_and(address, options, |_| Ok(()))
    }

    fn bind_and(
        address: &Address,
        options: &ListenOptions,
        then: impl FnOnce(&OwnedFd) -> rustix::io::Result<()>,
    ) -> Result<Listener> {
        if let Address::Unix(path) = address {
            if options.reuse_port {
                return Err(Error::settings(format!(
                    "{address} cannot be shared: SO_REUSEPORT is for TCP (socket(7))"
                )));
            }
            check_path(path)?;
            remove_stale(path);
        }
        let listening = |errno: RustixErrno| {
            Error::system(format!("listening on {address}"), Errno(errno.raw_os_error()))
        };
        let socket = open(address, options).map_err(listening)?;
        then(&socket).map_err(listening)?;
        let file = match address {
            Address::Unix(path) => SocketFile::at(path),
            Address::Tcp(_) => None,
        };
        let bound = plain(own_address(&socket));
        let address = if address.ip().is_some() { bound } else { address.clone() };
        Ok(Listener { socket, address, _file: file })
    }

    /// Where it listens; a port 0 has become the real one.
    pub(crate) fn local_address(&self) -> Address {
        self.address.clone()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open(address: &Address, options: &ListenOptions) -> rustix::io::Result<OwnedFd> {
    let family = match address {
        Address::Tcp(SocketAddr::V4(_)) => AddressFamily::INET,
        Address::Tcp(SocketAddr::V6(_)) => AddressFamily::INET6,
        Address::Unix(_) => AddressFamily::UNIX,
    };
    let socket = retry_on_intr(|| socket_with(family, SocketType::STREAM, FLAGS, None))?;
    if family != AddressFamily::UNIX {
        retry_on_intr(|| sockopt::set_socket_reuseaddr(&socket, true))?;
        retry_on_intr(|| sockopt::set_socket_reuseport(&socket, options.reuse_port))?;
        // Sockets that are accepted inherit them: these calls are for all of them.
        options.sockets.give_tcp(&socket)?;
    }
    if family == AddressFamily::INET6 {
        retry_on_intr(|| sockopt::set_ipv6_v6only(&socket, true))?;
    }
    with_kernel_form(
        address,
        |tcp| retry_on_intr(|| bind(&socket, tcp)),
        |unix| retry_on_intr(|| bind(&socket, unix)),
    )?;
    Ok(socket)
}

fn check_path(path: &Path) -> Result<()> {
    let bytes = path.as_os_str().len();
    if bytes <= UNIX_PATH_BYTES_MAX {
        return Ok(());
    }
    Err(Error::settings(format!(
        "the path of unix:{} is {bytes} bytes long; a socket's path has at most {UNIX_PATH_BYTES_MAX}",
        path.display()
    )))
}

/// Removes the file of a socket that nobody listens on any more.
fn remove_stale(path: &Path) {
    let is_socket = |file: Stat| FileType::from_raw_mode(file.st_mode) == FileType::Socket;
    if retry_on_intr(|| lstat(path)).is_ok_and(is_socket) && nobody_listens(path) == Ok(true) {
        // If it cannot be removed, bind(2) says that the address is in use, which is then true.
        let _still_there = remove(path);
    }
}

/// Asks by calling; it does not wait for a server whose backlog is full.
fn nobody_listens(path: &Path) -> rustix::io::Result<bool> {
    let address = SocketAddrUnix::new(path)?;
    let stream = || socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None);
    let caller = retry_on_intr(stream)?;
    Ok(retry_on_intr(|| connect(&caller, &address)) == Err(RustixErrno::CONNREFUSED))
}

fn remove(path: &Path) -> rustix::io::Result<()> {
    retry_on_intr(|| unlink(path))
}

impl SocketFile {
    fn at(path: &Path) -> Option<SocketFile> {
        Some(SocketFile { path: path.to_path_buf(), inode: inode(path)? })
    }
}

impl Drop for SocketFile {
    /// Only the file that was made here: another server may have put its own in the same place.
    fn drop(&mut self) {
        if inode(&self.path) == Some(self.inode) {
            let _already_gone = remove(&self.path);
        }
    }
}

/// Which file is there, if any.
fn inode(path: &Path) -> Option<(u64, u64)> {
    let file = retry_on_intr(|| lstat(path)).ok()?;
    Some((file.st_dev, file.st_ino))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::io::{FdFlags, fcntl_getfd};

    fn listen(text: &str) -> Result<Listener> {
        Listener::bind(&text.parse().unwrap(), &ListenOptions::default())
    }

    /// A path that no other test uses, whose file is gone.
    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("readyloop-{}-{name}", std::process::id()));
        let _not_there = fs::remove_file(&path);
        path
    }

    #[test]
    fn a_listener_does_not_block_and_does_not_survive_exec() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = listen(address).unwrap();
            assert!(fcntl_getfl(&listener).unwrap().contains(OFlags::NONBLOCK));
            assert!(fcntl_getfd(&listener).unwrap().contains(FdFlags::CLOEXEC));
            assert!(sockopt::socket_reuseaddr(&listener).unwrap());
        }
    }

    #[test]
    fn a_port_in_use_is_named() {
        let first = listen("127.0.0.1:0").unwrap();
        let address = first.local_address().to_string();
        let error = listen(&address).unwrap_err();
        assert!(error.is_address_in_use(), "{error}");
        assert!(error.to_string().contains(&address), "{error}");
    }

    #[test]
    fn one_port_is_shared_when_it_is_asked_for() {
        let options = ListenOptions { reuse_port: true, ..ListenOptions::default() };
        let first = Listener::bind(&"127.0.0.1:0".parse().unwrap(), &options).unwrap();
        Listener::bind(&first.local_address(), &options).unwrap();
    }

    #[test]
    fn ipv4_and_ipv6_share_a_port() {
        // The port that IPv6 is given may be in use by somebody's IPv4: not by all of these.
        let share = || {
            let six = listen("[::]:0").unwrap();
            let Address::Tcp(address) = six.local_address() else { panic!("not TCP") };
            listen(&format!("0.0.0.0:{}", address.port())).is_ok()
        };
        assert!((0..20).any(|_| share()));
    }

    #[test]
    fn a_killed_servers_socket_file_is_replaced_and_a_living_ones_is_not() {
        let path = path("stale");
        let text = format!("unix:{}", path.display());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file behind, as a kill does");
        let living = listen(&text).unwrap();
        assert!(listen(&text).unwrap_err().is_address_in_use());
        drop(living);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let path = path("file");
        fs::write(&path, "precious").unwrap();
        let error = listen(&format!("unix:{}", path.display())).unwrap_err();
        assert!(error.is_address_in_use(), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_socket_file_that_another_server_made_meanwhile_is_left_alone() {
        let path = path("other");
        let first = listen(&format!("unix:{}", path.display())).unwrap();
        fs::remove_file(&path).unwrap();
        let second = listen(&format!("unix:{}", path.display())).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_with_the_bound() {
        let error = listen(&format!("unix:/tmp/{}", "x".repeat(200))).unwrap_err();
        assert!(error.is_settings() && error.to_string().contains("107"), "{error}");
    }
}
