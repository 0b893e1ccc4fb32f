//! What a server calls besides its handler: when it is ready, and when there is an incident.

use std::sync::mpsc::channel;

use readyloop::{Context, Handler, Peer, Raw, Server, Topology};

use super::running::*;

struct Nobody;

impl Handler for Nobody {
    type Framer = Raw;
    type Session = ();
    fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Raw, ()) {
        (Raw, ())
    }
    fn on_frame(&mut self, _: &mut (), _: &[u8], _: &mut Context<'_>) {}
}

#[test]
fn a_report_that_panics_takes_no_thread_down() {
    for topology in [Topology::Single, HANDOFF, SHARED, PER_REACTOR, WORKERS] {
        let builder = Server::builder().listen("127.0.0.1:0").topology(topology);
        let builder = builder.on_incident(|incident| panic!("cannot report {incident:?}"));
        let mut server = Running::serve_as(builder, None);
        assert_echoes(&mut server.dial(), b"hi");
        server.remote.stop();
        // Every thread reports its end.
        server.join();
    }
}

#[test]
fn a_reactor_that_is_turned_by_hand_says_when_callers_can_connect() {
    let (ready, is_ready) = channel();
    let server = Server::builder().listen("127.0.0.1:0").bind().unwrap();
    let server = server.on_ready(move || ready.send(()).unwrap());
    let _reactor = server.reactor(Nobody).unwrap();
    assert_eq!(is_ready.try_recv(), Ok(()));
}

#[test]
fn a_reactor_that_is_turned_by_hand_pins_nobodys_thread() {
    let server = Server::builder().listen("127.0.0.1:0").pin(true).bind().unwrap();
    let refusal = server.reactor(Nobody).err().unwrap();
    assert!(refusal.is_settings(), "{refusal}");
    assert!(refusal.to_string().contains("pin"), "{refusal}");
}
