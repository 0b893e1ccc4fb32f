//! reactio, one runtime, its buffer for each connection, frames cut by hand.

use reactio::{
    DefaultTcpListenerHandler, Deferred, DispatchContext, MessageResult, NewServerReactor,
    ReactRuntime, Reactor, ReactorID, Result,
};

struct Echo;

impl Reactor for Echo {
    type UserCommand = ();

    fn on_connected(&mut self, context: &mut DispatchContext<()>, _: ReactorID) -> Result<()> {
        let _ = context.sock.set_nodelay(true);
        Ok(())
    }

    fn on_inbound_message(
        &mut self,
        bytes: &mut [u8],
        _new: usize,
        _expected: usize,
        context: &mut DispatchContext<()>,
    ) -> Result<MessageResult> {
        let whole = peers::whole_frames(bytes);
        if whole == 0 {
            // Not called again until the frame is whole; 0 where its length is not known.
            let length = bytes.first_chunk::<4>().map(|prefix| u32::from_be_bytes(*prefix));
            return Ok(MessageResult::ExpectMsgSize(
                length.map_or(0, |length| 4 + length as usize),
            ));
        }
        context.send_or_que(&bytes[..whole])?;
        Ok(MessageResult::DropMsgSize(whole))
    }
}

impl NewServerReactor for Echo {
    type InitServerParam = ();

    fn new_server_reactor(_count: usize, (): ()) -> Self {
        Self
    }
}

fn main() {
    // reactio does not tell which port it listens on, so a free one is looked for first.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut runtime = ReactRuntime::new();
    runtime
        .get_cmd_sender()
        .send_listen(
            &address.to_string(),
            // Bytes to read into, for each connection: as many as in its examples.
            DefaultTcpListenerHandler::<Echo>::new(1024, ()),
            Deferred::Immediate,
            move |outcome| {
                outcome.unwrap();
                peers::announce("reactio", address);
            },
        )
        .unwrap();
    runtime.process_command_queue(1);
    // Its examples wait for 1 ms at most, since a command does not end a wait. Here no more come.
    while runtime.process_events_with(1_000, 32) {}
}
