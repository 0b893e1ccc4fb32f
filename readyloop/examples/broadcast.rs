//! Everybody gets what anybody says: `cargo run --release --example broadcast 127.0.0.1:7200`, then
//! several `nc 127.0.0.1 7200`. A line is stored once, however many there are to hear it.

use readyloop::{Context, Group, Handler, Limits, Lines, Peer, Server, SlowMember};

struct Everybody(Group);

impl Handler for Everybody {
    type Framer = Lines;
    type Session = ();

    fn on_open(&mut self, _: &Peer, context: &mut Context<'_>) -> (Lines, ()) {
        context.join(&self.0);
        (Lines::new(512), ())
    }

    fn on_frame(&mut self, _: &mut (), line: &[u8], context: &mut Context<'_>) {
        context.broadcast(&self.0, [line, b"\n"].concat());
    }
}

fn main() -> readyloop::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7200".to_string());
    let limits = Limits { send_high_bytes: 1 << 20, ..Limits::default() };
    let server = Server::builder().listen(address).limits(limits).stop_on_signals().bind()?;
    println!("broadcasting on {}", server.addresses()[0]);
    let everybody = Group::new(SlowMember::DropMessage);
    server.run(|_thread| Everybody(everybody.clone()))
}
