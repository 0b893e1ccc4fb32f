//! What a server calls besides its handler, and asks of its thread.

use std::sync::mpsc::channel;

use readyloop::{Context, Handler, Peer, Raw, Server};

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
