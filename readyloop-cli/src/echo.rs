//! The service `echo`: every frame goes back to its sender, wrapped as it came.
//!
//! It exists to see and to measure the server itself: what it costs beyond the byte path is what
//! was asked for with `--handler-cost`.
//!
//! Invariant: a reply fits the send queue of any session that is read, so echo never closes a
//! session with `SendFull`.

use std::hint;
use std::time::{Duration, Instant};

use readyloop::{
    Address, CloseReason, Context, Error, Handler, LengthPrefixed, Limits, Lines, Peer, Raw, Result,
};
use tracing::{Level, debug, enabled};

use crate::args::{EchoOptions, LimitOptions};
use crate::framing::{Framing, Wrap};
use crate::serve;
use crate::units::Bytes;

/// The longest frame if nothing else was asked for, in bytes.
const FRAME_BYTES_MAX: usize = 16 << 20;

/// The handler; one type for each framing, so that no frame asks which it is.
struct Echo<W> {
    /// What every session's framer begins as; here it knows how a reply is wrapped.
    framer: W,
    /// CPU to burn for each frame.
    cost: Option<Duration>,
}

/// Serves until it is stopped.
pub fn serve(options: &EchoOptions) -> Result<()> {
    let given = &options.server.limits;
    let frame_bytes_max = longest_frame(options.framing, given.max_frame)?;
    let limits = serve::limits(given, frame_bytes_max);
    check_that_a_reply_fits(options.framing, frame_bytes_max, given, &limits)?;
    match options.framing {
        Framing::Raw => serve_with(Raw, options, limits),
        Framing::Lines => serve_with(Lines::new(frame_bytes_max), options, limits),
        Framing::Length(prefix, order) => {
            serve_with(LengthPrefixed::new(prefix, order, frame_bytes_max), options, limits)
        }
    }
}

fn serve_with(framer: impl Wrap, options: &EchoOptions, limits: Limits) -> Result<()> {
    let cost = options.handler_cost.map(|span| span.0);
    serve::serve("echo", &options.server, limits, Echo { framer, cost })
}

/// The longest frame in bytes: as asked for, if that has a meaning; else as long as can be spelled.
fn longest_frame(framing: Framing, asked: Option<Bytes>) -> Result<usize> {
    let spelled = framing.spells_bytes_max();
    match asked {
        Some(_) if framing == Framing::Raw => Err(Error::settings(
            "--framing raw has no frames for --max-frame to limit; leave it out, or use lines or length",
        )),
        Some(asked) if asked.0 > spelled => Err(Error::settings(format!(
            "--framing {framing} cannot spell a frame of --max-frame {asked}; \
             use a wider prefix, or at most {}",
            Bytes(spelled)
        ))),
        Some(asked) => Ok(asked.0),
        None => Ok(spelled.min(FRAME_BYTES_MAX)),
    }
}

/// A session is read while its queue is not over the high mark, so that much may lie before a
/// reply.
fn check_that_a_reply_fits(
    framing: Framing,
    frame_bytes_max: usize,
    given: &LimitOptions,
    limits: &Limits,
) -> Result<()> {
    let (what, longest) = match framing {
        Framing::Raw => ("one read of", limits.recv_buffer_bytes),
        _ => ("a frame of --max-frame", frame_bytes_max),
    };
    let reply = longest.saturating_add(framing.wrapping_bytes());
    let needed = given.send_high.0.saturating_add(reply);
    if given.send_max.0 >= needed {
        return Ok(());
    }
    Err(Error::settings(format!(
        "--send-max {} cannot hold --send-high {} and the reply to {what} {}; \
         make --send-max at least {}",
        given.send_max,
        given.send_high,
        Bytes(longest),
        Bytes(needed)
    )))
}

impl<W: Wrap> Handler for Echo<W> {
    type Framer = W;
    /// Who called, if the end of the session will be logged.
    type Session = Option<Box<Address>>;

    fn on_open(&mut self, peer: &Peer, context: &mut Context<'_>) -> (W, Self::Session) {
        debug!("session {} opened by {}", context.id(), peer.address);
        let address = enabled!(Level::DEBUG).then(|| Box::new(peer.address.clone()));
        (self.framer.clone(), address)
    }

    #[inline]
    fn on_frame(&mut self, _: &mut Self::Session, frame: &[u8], context: &mut Context<'_>) {
        if let Some(cost) = self.cost {
            burn(cost);
        }
        self.framer.send(frame, context);
    }

    fn on_close(&mut self, address: Self::Session, reason: CloseReason, context: &mut Context<'_>) {
        if let Some(address) = address {
            debug!("session {} of {address} closed: {reason}", context.id());
        }
    }
}

/// Keeps the CPU busy, as a real handler would.
#[cold]
fn burn(cost: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < cost {
        hint::spin_loop();
    }
}
