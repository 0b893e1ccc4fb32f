//! The smallest server: every line comes back.
//!
//! `cargo run --example echo`, then `nc 127.0.0.1 7000`.

use readyloop::{Context, Handler, Lines, Peer, Server};

struct Echo;

impl Handler for Echo {
    type Framer = Lines;
    type Session = ();

    fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Lines, ()) {
        (Lines::new(1024), ())
    }

    fn on_frame(&mut self, _: &mut (), line: &[u8], context: &mut Context<'_>) {
        context.send(line);
        context.send(b"\n");
    }
}

fn main() -> readyloop::Result<()> {
    Server::builder().listen("127.0.0.1:7000").stop_on_signals().run(|_thread| Echo)
}
