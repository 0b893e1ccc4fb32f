//! A dial that reaches nobody but itself: the kernel takes the port that is dialled for the caller's
//! own end, and TCP lets both ends of a connection open at the same time (RFC 9293, section 3.5).

use super::*;

/// What the kernel's side says of a socket whose two ends are one.
fn outcome(linux: &mut Linux, socket: &OwnedFd) -> Connect {
    linux.watch(socket, token(1), Interest::WRITE).unwrap();
    await_ready(linux, token(1), Ready::WRITABLE);
    linux.connected(socket)
}

#[test]
fn a_connection_to_itself_is_refused() {
    for (poller, trigger) in WAYS {
        let mut linux = linux(poller, trigger).unwrap();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let address: SocketAddr = address.parse().unwrap();
            let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let socket = socket_with(family, SocketType::STREAM, ACCEPT_FLAGS, None).unwrap();
            net::bind(&socket, &address).unwrap();
            let itself = SocketAddr::try_from(net::getsockname(&socket).unwrap()).unwrap();
            let begun = net::connect(&socket, &itself);
            assert!(matches!(begun, Ok(()) | Err(RustixErrno::INPROGRESS)), "{begun:?}");
            let refused = Connect::Failed(Errno::CONNREFUSED);
            assert_eq!(outcome(&mut linux, &socket), refused, "{poller} {itself}");
            linux.close(socket, Farewell::Finish);
        }
    }
}

/// Dialled often enough, a free port in the range of callers' ports is the one that the kernel
/// takes for the caller: connect(2) walks through the even ones first.
#[test]
fn a_free_port_among_those_of_callers_is_refused_however_often_it_is_dialled() {
    let mut linux = linux(Poller::Epoll, Trigger::Level).unwrap();
    let caller = TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let free = SocketAddr::new(caller.ip(), caller.port() & !1);
    let to = Address::from(free).into();
    for _ in 0..100_000 {
        let Ok(socket) = linux.connect(&to) else { continue };
        if plain(net::getsockname(&socket).ok()) == Address::Tcp(free) {
            return assert_eq!(outcome(&mut linux, &socket), Connect::Failed(Errno::CONNREFUSED));
        }
        linux.close(socket, Farewell::Finish);
    }
    panic!("the kernel never took port {} for the caller", free.port());
}
