//! mill-net, handlers called on the thread of its event loop (`new_low_latency`: the pools it starts
//! have nothing to do), frames cut by hand.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

use mill_io::EventLoop;
use mill_io::error::Result;
use mill_io::reactor::{DEFAULT_EVENTS_CAPACITY, DEFAULT_POLL_TIMEOUT_MS};
use mill_net::tcp::{
    ConnSender, ConnectionId, NetworkHandler, SendError, ServerContext, TcpServer, TcpServerConfig,
};

#[derive(Default)]
struct Echo {
    /// Bytes of a frame that is not whole, or that a full queue refused.
    rests: Mutex<HashMap<ConnectionId, Vec<u8>>>,
}

impl Echo {
    fn take_rest(&self, id: ConnectionId) -> Vec<u8> {
        self.rests.lock().unwrap().remove(&id).unwrap_or_default()
    }

    fn keep_rest(&self, id: ConnectionId, rest: Vec<u8>) {
        if !rest.is_empty() {
            self.rests.lock().unwrap().insert(id, rest);
        }
    }
}

/// Sends the whole frames at the beginning; how many bytes they were. A full queue takes none, and
/// nothing more is read until it has drained.
fn send(sender: &ConnSender, bytes: &[u8]) -> Result<usize> {
    let whole = peers::whole_frames(bytes);
    match sender.send(&bytes[..whole]) {
        Ok(()) => Ok(whole),
        Err(SendError::Backpressure) => {
            sender.pause_reads();
            Ok(0)
        }
        Err(error) => Err(error.into()),
    }
}

impl NetworkHandler for Echo {
    fn on_data(&self, context: &ServerContext, id: ConnectionId, data: &[u8]) -> Result<()> {
        let Some(sender) = context.sender(id) else {
            return Ok(());
        };
        let mut rest = self.take_rest(id);
        if rest.is_empty() {
            let sent = send(&sender, data)?;
            rest.extend_from_slice(&data[sent..]);
        } else {
            rest.extend_from_slice(data);
            let sent = send(&sender, &rest)?;
            rest.drain(..sent);
        }
        self.keep_rest(id, rest);
        Ok(())
    }

    fn on_drained(&self, context: &ServerContext, id: ConnectionId) -> Result<()> {
        if let Some(sender) = context.sender(id) {
            sender.resume_reads();
            let mut rest = self.take_rest(id);
            let sent = send(&sender, &rest)?;
            rest.drain(..sent);
            self.keep_rest(id, rest);
        }
        Ok(())
    }

    fn on_disconnect(&self, _: &ServerContext, id: ConnectionId) -> Result<()> {
        self.take_rest(id);
        Ok(())
    }
}

fn main() -> Result<()> {
    let event_loop =
        Arc::new(EventLoop::new_low_latency(DEFAULT_EVENTS_CAPACITY, DEFAULT_POLL_TIMEOUT_MS)?);
    let config = TcpServerConfig::builder().address("127.0.0.1:0".parse()?).no_delay(true).build();
    let server = Arc::new(TcpServer::new(config, Echo::default())?);
    let address = server.local_addr()?;
    server.start(&event_loop, event_loop.alloc_token())?;
    peers::announce("mill_net", address);
    loop {
        match event_loop.run() {
            // A signal has ended the wait, and mill-io returns that.
            Err(error)
                if error
                    .downcast_ref::<std::io::Error>()
                    .is_some_and(|error| error.kind() == ErrorKind::Interrupted) => {}
            outcome => return outcome,
        }
    }
}
