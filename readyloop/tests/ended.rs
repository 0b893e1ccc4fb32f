//! What a server that has ended leaves behind: nothing. In a process of its own, because threads
//! and descriptors belong to the whole process.
#![allow(clippy::unwrap_used, unsafe_code)]

use std::fs::read_dir;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::thread::spawn;
use std::time::{Duration, Instant};

use readyloop::{
    Accepting, Address, Balance, Context, FdTables, Handler, Peer, Raw, Server, Topology,
};

const SOON: Duration = Duration::from_secs(20);

struct Echo;

impl Handler for Echo {
    type Framer = Raw;
    type Session = ();
    fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Raw, ()) {
        (Raw, ())
    }
    fn on_frame(&mut self, _: &mut (), bytes: &[u8], context: &mut Context<'_>) {
        context.send(bytes);
    }
}

fn entries(folder: &str) -> usize {
    read_dir(folder).unwrap().count()
}

/// Serves some sessions, and ends while they are open.
fn serve(topology: Topology) {
    let server = Server::builder().listen("127.0.0.1:0").topology(topology).bind().unwrap();
    let (remote, address) = (server.remote(), server.addresses()[0].clone());
    let Address::Tcp(address) = address else { panic!("not TCP") };
    let (ready, is_ready) = channel();
    let server = server.on_ready(move || ready.send(()).unwrap());
    let serving = spawn(move || server.run(|_| Echo));
    is_ready.recv_timeout(SOON).unwrap();
    let mut clients: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    for client in &mut clients {
        client.set_read_timeout(Some(SOON)).unwrap();
        client.write_all(b"x").unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 1);
    }
    remote.stop();
    drop(clients);
    serving.join().unwrap().unwrap();
}

#[test]
fn a_server_that_has_ended_leaves_no_thread_and_no_descriptor() {
    // SAFETY: no handler here opens a descriptor.
    let per_reactor = unsafe { FdTables::per_reactor() };
    let topologies = [
        Topology::Single,
        Topology::multi(3),
        Topology::Multi { reactors: 2, accept: Accepting::Handoff(Balance::LeastSessions) },
        Topology::Multi { reactors: 3, accept: Accepting::ReusePort(FdTables::shared()) },
        Topology::Multi { reactors: 3, accept: Accepting::ReusePort(per_reactor) },
        Topology::workers(3),
    ];
    let left = || (entries("/proc/self/fd"), entries("/proc/self/task"));
    let before = left();
    for topology in topologies {
        serve(topology);
        // The kernel lists a thread until its last descriptor is closed, a moment after it was
        // joined.
        let begin = Instant::now();
        while left() != before && begin.elapsed() < SOON {
            std::thread::yield_now();
        }
        assert_eq!(left(), before, "{topology:?}");
    }
}
