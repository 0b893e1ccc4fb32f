//! Addresses, between their plain form and the kernel's.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::{self, retry_on_intr};
use rustix::net::{SocketAddrAny, SocketAddrUnix, getsockname};

use crate::address::Address;

/// `sizeof(struct sockaddr_un)`: the family, and a path of 108 bytes.
const UNIX_ADDRESS_BYTES: usize = 2 + 108;

/// The plain form; a kernel address of neither family has no name.
pub(super) fn plain(address: Option<SocketAddrAny>) -> Address {
    let nameless = || Address::Unix(PathBuf::new());
    let Some(address) = address else { return nameless() };
    if let Ok(tcp) = SocketAddr::try_from(address.clone()) {
        return Address::Tcp(tcp);
    }
    // A path that fills its field to the last byte comes with a length beyond it (unix(7), BUGS),
    // which rustix answers with a panic; and a caller chooses its own path.
    if address.addr_len() as usize > UNIX_ADDRESS_BYTES {
        return nameless();
    }
    match SocketAddrUnix::try_from(address).ok().as_ref().and_then(SocketAddrUnix::path_bytes) {
        Some(path) => Address::Unix(Path::new(std::ffi::OsStr::from_bytes(path)).to_path_buf()),
        None => nameless(),
    }
}

/// The address of a socket's own end, in the kernel's form.
pub(super) fn own_address(socket: impl AsFd) -> Option<SocketAddrAny> {
    retry_on_intr(|| getsockname(&socket)).ok()
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{
        AddressFamily, SocketFlags, SocketType, acceptfrom_with, bind, connect, listen, socket,
    };

    #[test]
    fn a_caller_whose_path_fills_the_kernels_field_has_no_name_and_does_no_harm() {
        let folder = std::env::temp_dir().join(format!("readyloop-{}-long", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let here = SocketAddrUnix::new(folder.join("listener")).unwrap();
        let used = folder.as_os_str().len() + 1;
        let longest = SocketAddrUnix::new(folder.join("x".repeat(108 - used))).unwrap();
        let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&listener, &here).unwrap();
        listen(&listener, 1).unwrap();
        let caller = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&caller, &longest).unwrap();
        connect(&caller, &here).unwrap();
        let (_, address) = acceptfrom_with(&listener, SocketFlags::empty()).unwrap();
        assert_eq!(plain(address), Address::Unix(PathBuf::new()));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
