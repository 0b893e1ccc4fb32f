//! Addresses, between their plain form and the kernel's.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io;
use rustix::net::{SocketAddrAny, SocketAddrUnix};

use crate::address::Address;

/// The plain form; a kernel address of neither family has no name.
pub(super) fn plain(address: Option<SocketAddrAny>) -> Address {
    let nameless = || Address::Unix(PathBuf::new());
    let Some(address) = address else { return nameless() };
    if let Ok(tcp) = SocketAddr::try_from(address.clone()) {
        return Address::Tcp(tcp);
    }
    match SocketAddrUnix::try_from(address).ok().as_ref().and_then(SocketAddrUnix::path_bytes) {
        Some(path) => Address::Unix(Path::new(std::ffi::OsStr::from_bytes(path)).to_path_buf()),
        None => nameless(),
    }
}

/// The kernel's form of an address that is handed to bind(2) or connect(2).
pub(super) fn with_kernel_form<R>(
    address: &Address,
    tcp: impl FnOnce(&SocketAddr) -> io::Result<R>,
    unix: impl FnOnce(&SocketAddrUnix) -> io::Result<R>,
) -> io::Result<R> {
    match address {
        Address::Tcp(address) => tcp(address),
        Address::Unix(path) => unix(&SocketAddrUnix::new(path.as_path())?),
    }
}
