//! mio by hand: a table of connections, a buffer for what is not whole and what did not leave.

use std::io::{ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    /// Bytes of a frame that is not whole.
    rest: Vec<u8>,
    /// Bytes that did not leave.
    unsent: Vec<u8>,
}

/// Sends; what does not leave is kept. Whether the connection lives on.
fn send(stream: &mut TcpStream, unsent: &mut Vec<u8>, mut bytes: &[u8]) -> bool {
    while unsent.is_empty() && !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => return false,
        }
    }
    unsent.extend_from_slice(bytes);
    true
}

fn serve(connection: &mut Connection, buffer: &mut [u8]) -> bool {
    let Connection { stream, rest, unsent } = connection;
    if !unsent.is_empty() {
        let waiting = std::mem::take(unsent);
        if !send(stream, unsent, &waiting) {
            return false;
        }
    }
    loop {
        let count = match stream.read(buffer) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        let alive = if rest.is_empty() {
            let whole = peers::whole_frames(&buffer[..count]);
            rest.extend_from_slice(&buffer[whole..count]);
            send(stream, unsent, &buffer[..whole])
        } else {
            rest.extend_from_slice(&buffer[..count]);
            let whole = peers::whole_frames(rest);
            let alive = send(stream, unsent, &rest[..whole]);
            rest.drain(..whole);
            alive
        };
        // A short read has emptied the socket (epoll(7)).
        if !alive || count < buffer.len() {
            return alive;
        }
    }
}

fn main() {
    let mut poll = Poll::new().unwrap();
    let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).unwrap();
    peers::announce("mio", listener.local_addr().unwrap());
    let (mut events, mut connections) = (Events::with_capacity(256), Slab::<Connection>::new());
    let mut buffer = vec![0; 64 << 10];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome.unwrap(),
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = stream.set_nodelay(true);
                    let entry = connections.vacant_entry();
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(entry.key()), interest).unwrap();
                    entry.insert(Connection { stream, rest: Vec::new(), unsent: Vec::new() });
                }
            } else if let Some(connection) = connections.get_mut(event.token().0)
                && !serve(connection, &mut buffer)
            {
                connections.remove(event.token().0);
            }
        }
    }
}
