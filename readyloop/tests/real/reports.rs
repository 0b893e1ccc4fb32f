//! A hook for incidents that panics, on real threads: the server serves on, and a stop still stops.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::thread::spawn;

use readyloop::{Context, Handler, Incident, LengthPrefixed, Peer, Server, Topology};

use super::running::{
    FRAMING, HANDOFF, PER_REACTOR, POOL, SHARED, SOON, WORKERS, assert_echoes, framed, tcp,
};

/// Answers each frame with itself, but for a bomb.
struct Clumsy;

impl Handler for Clumsy {
    type Framer = LengthPrefixed;
    type Session = ();

    fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (LengthPrefixed, ()) {
        (FRAMING, ())
    }

    fn on_frame(&mut self, _: &mut (), frame: &[u8], context: &mut Context<'_>) {
        assert_ne!(frame, b"bomb", "boom");
        context.send(&framed(frame));
    }
}

#[test]
fn a_hook_that_panics_hinders_no_session_and_no_stop() {
    for topology in [Topology::Single, HANDOFF, SHARED, PER_REACTOR, WORKERS, POOL] {
        println!("{topology:?}");
        let builder = Server::builder().listen("127.0.0.1:0").topology(topology);
        let (told, incidents) = channel();
        let builder = builder.on_incident(move |incident| {
            told.send(incident).unwrap();
            panic!("the hook");
        });
        let server = builder.bind().unwrap();
        let (address, remote) = (tcp(&server.addresses()[0]), server.remote());
        let (bound, when_bound) = channel();
        let (ended, when_ended) = channel();
        spawn(move || {
            let server = server.on_ready(move || bound.send(()).unwrap());
            ended.send(server.run(|_| Clumsy)).unwrap();
        });
        when_bound.recv_timeout(SOON).unwrap();
        let caller = || {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            stream
        };
        // More than there are threads that run handlers.
        for _ in 0..6 {
            let mut victim = caller();
            victim.write_all(&framed(b"bomb")).unwrap();
            assert!(!victim.read(&mut [0]).is_ok_and(|count| count > 0), "{topology:?}");
            assert_echoes(&mut caller(), b"fine");
        }
        remote.stop();
        when_ended.recv_timeout(SOON).unwrap().unwrap();
        let ends = incidents.try_iter().filter_map(|incident| match incident {
            Incident::Ended { stats } => Some((stats.panics, stats.report_panics)),
            _ => None,
        });
        let (panics, of_the_hook) =
            ends.fold((0, 0), |sum, (panics, of_the_hook)| (sum.0 + panics, sum.1 + of_the_hook));
        assert!(panics == 6 && of_the_hook > 0, "{topology:?}: {panics}, {of_the_hook}");
    }
}
