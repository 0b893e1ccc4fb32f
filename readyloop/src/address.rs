//! Where a server listens, where a session comes from, where a dialled session goes.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;

/// A TCP address or the path of a Unix socket.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A Unix stream socket; the empty path is a peer that has no name.
    Unix(PathBuf),
}

impl Address {
    /// The IP address, for limits per peer; Unix peers have none.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Tcp(address) => Some(address.ip()),
            Address::Unix(_) => None,
        }
    }
}

/// Where a dialled session goes, and which of our addresses it goes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// Where to.
    pub to: Address,
    /// From where; `None` leaves it to the kernel.
    pub from: Option<IpAddr>,
}

impl From<Address> for Route {
    fn from(to: Address) -> Route {
        Route { to, from: None }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Tcp(address)
    }
}

impl FromStr for Address {
    type Err = Error;

    /// Reads `127.0.0.1:7000`, `[::1]:7000`, `localhost:7000` or `unix:/run/app.sock`.
    ///
    /// A host name is looked up by the system's resolver, which may block; the first answer is
    /// taken.
    fn from_str(text: &str) -> Result<Address, Error> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(Error::settings("'unix:' needs a path, as in unix:/run/app.sock")),
                path => Ok(Address::Unix(PathBuf::from(path))),
            };
        }
        let found = text.to_socket_addrs().ok().and_then(|mut all| all.next());
        found.map(Address::Tcp).ok_or_else(|| {
            Error::settings(format!(
                "'{text}' is not an address; write 127.0.0.1:7000, [::1]:7000 or unix:/path"
            ))
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back_as_it_was_written() {
        for text in ["127.0.0.1:7000", "[::1]:7000", "unix:/run/app.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_bad_address_says_what_would_be_right() {
        for text in ["7000", "127.0.0.1", "127.0.0.1:70000", "", "unix:"] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.is_settings() && error.to_string().contains("unix:/"), "{error}");
        }
    }
}
