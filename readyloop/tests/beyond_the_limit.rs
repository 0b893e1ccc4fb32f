//! One process holds more sessions than `RLIMIT_NOFILE` allows, when each reactor has a descriptor
//! table of its own. In a process of its own, because the limit belongs to the whole process.
#![allow(clippy::unwrap_used, unsafe_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::thread::{scope, spawn};
use std::time::Duration;

use readyloop::{
    Accepting, Address, Context, FdTables, Handler, Peer, Raw, Server, SessionId, Topology,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{UnshareFlags, unshare_unsafe};

const DESCRIPTORS: u64 = 200;
const CLIENT_THREADS: usize = 4;
const CLIENTS_EACH: usize = 120;
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

/// Opens sessions from a thread with descriptors of its own, and holds them until everybody has
/// been served.
fn hold_sessions(address: SocketAddr, everybody: &Barrier) -> usize {
    // SAFETY: what this thread opens stays with it, and it uses nothing that others have opened.
    unsafe { unshare_unsafe(UnshareFlags::FILES) }.unwrap();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS_EACH {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        client.write_all(b"x").unwrap();
        // The kernel spreads callers unevenly: a full reactor refuses politely.
        if matches!(client.read(&mut [0; 8]), Ok(1)) {
            clients.push(client);
        }
    }
    everybody.wait();
    for client in &mut clients {
        client.write_all(b"y").unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 1);
    }
    everybody.wait();
    clients.len()
}

#[test]
fn a_process_holds_more_sessions_than_its_descriptor_limit() {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), maximum: hard }).unwrap();
    // SAFETY: no handler here opens a descriptor, and the clients have tables of their own.
    let accept = Accepting::ReusePort(unsafe { FdTables::per_reactor() });
    let topology = Topology::Multi { reactors: 4, accept };
    let server = Server::builder().listen("127.0.0.1:0").topology(topology).bind().unwrap();
    let (remote, address) = (server.remote(), server.addresses()[0].clone());
    let Address::Tcp(address) = address else { panic!("not TCP") };
    let (ready, is_ready) = channel();
    let server = server.on_ready(move || ready.send(()).unwrap());
    let serving = spawn(move || server.run(|_| Echo));
    is_ready.recv_timeout(SOON).unwrap();

    let everybody = Barrier::new(CLIENT_THREADS);
    let held: usize = scope(|scope| {
        let hold = || hold_sessions(address, &everybody);
        let threads: Vec<_> = (0..CLIENT_THREADS).map(|_| scope.spawn(hold)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(held as u64 > DESCRIPTORS, "{held} sessions were held at once");
    assert!(remote.send(SessionId::NONE, "nobody").is_ok());
    remote.stop();
    serving.join().unwrap().unwrap();
}
