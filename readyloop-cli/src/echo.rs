//! The service `echo`: every frame goes back to its sender, wrapped as it came.
//!
//! It exists to see and to measure the server itself: what it costs beyond the byte path is what
//! was asked for with `--handler-cost`.
//!
//! Invariant: a reply fits the send queue of any session that is read, so echo never closes a
//! session with `SendFull`.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use readyloop::framers::Be32;
use readyloop::sim::Rng;
use readyloop::{
    Address, CloseReason, Context, Error, Handler, LengthPrefixed, Limits, Lines, Peer, Raw, Result,
};
use tracing::{Level, debug, enabled};

use crate::args::{EchoOptions, Identity};
use crate::framing::{Framing, Wrap};
use crate::serve;
use crate::units::{Bytes, SpanRange};

/// How it differs from other services.
pub const IDENTITY: Identity = Identity {
    name: "echo",
    address: "127.0.0.1:7000",
    max_frame: "The longest frame, without its prefix or line end [default: 16MiB, or what its prefix \
                can spell]",
};
/// The longest frame if nothing else was asked for, in bytes.
const FRAME_BYTES_MAX: usize = 16 << 20;

/// The handler; one type for each framing, so that no frame asks which it is.
struct Echo<W> {
    /// What every session's framer begins as; here it knows how a reply is wrapped.
    framer: W,
    /// CPU to burn for each frame of a costly session.
    cost: Option<Cost>,
}

/// What is burnt, and for whom.
struct Cost {
    range: SpanRange,
    /// One session in this many is costly.
    one_in: u32,
    /// Sessions opened, on all threads.
    opened: Arc<AtomicU32>,
    rng: Rng,
}

/// What is remembered of a session, if anything must be.
struct Caller {
    address: Address,
    costly: bool,
}

/// Serves until it is stopped.
pub fn serve(options: &EchoOptions) -> Result<()> {
    let given = &options.server.limits;
    let frame_bytes_max = longest_frame(options.framing, given.max_frame)?;
    let limits = serve::limits(given, frame_bytes_max);
    check_that_a_reply_fits(options.framing, frame_bytes_max, &limits)?;
    match options.framing {
        Framing::Raw => serve_with(Raw, options, limits),
        Framing::Lines => serve_with(Lines::new(frame_bytes_max), options, limits),
        // The usual one is known to the compiler, as it is to those who write a server for it.
        Framing::DEFAULT => {
            let framer: LengthPrefixed<Be32> = LengthPrefixed::fixed(frame_bytes_max);
            serve_with(framer, options, limits)
        }
        Framing::Length(prefix, order) => {
            serve_with(LengthPrefixed::new(prefix, order, frame_bytes_max), options, limits)
        }
    }
}

fn serve_with(framer: impl Wrap, options: &EchoOptions, limits: Limits) -> Result<()> {
    let opened = Arc::new(AtomicU32::new(0));
    serve::serve(&IDENTITY, &options.server, &[], limits, |_remote| {
        move |thread| {
            let cost = options.handler_cost.map(|range| Cost {
                range,
                one_in: options.costly,
                opened: opened.clone(),
                rng: Rng::new(thread as u64),
            });
            Echo { framer: framer.clone(), cost }
        }
    })
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
        Some(asked) => {
            serve::check_that_a_frame_has_room(asked.0, 1, "a byte")?;
            Ok(asked.0)
        }
        None => Ok(spelled.min(FRAME_BYTES_MAX)),
    }
}

fn check_that_a_reply_fits(
    framing: Framing,
    frame_bytes_max: usize,
    limits: &Limits,
) -> Result<()> {
    let (what, longest) = match framing {
        Framing::Raw => ("one read of", limits.recv_buffer_bytes),
        _ => ("a frame of --max-frame", frame_bytes_max),
    };
    let reply = longest.saturating_add(framing.wrapping_bytes());
    let what = format!("the reply to {what} {}", Bytes(longest));
    serve::check_that_an_answer_fits(limits, reply, &what)
}

impl<W: Wrap> Handler for Echo<W> {
    type Framer = W;
    /// Nothing of a session that is not costly and whose end will not be logged.
    type Session = Option<Box<Caller>>;

    fn on_open(&mut self, peer: &Peer, context: &mut Context<'_>) -> (W, Self::Session) {
        debug!("session {} opened by {}", context.id(), peer.address);
        let costly = self.cost.as_ref().is_some_and(Cost::is_for_the_next_session);
        let remember = costly || enabled!(Level::DEBUG);
        let caller = remember.then(|| Box::new(Caller { address: peer.address.clone(), costly }));
        (self.framer.clone(), caller)
    }

    #[inline(always)]
    fn on_frame(&mut self, caller: &mut Self::Session, frame: &[u8], context: &mut Context<'_>) {
        if let Some(caller) = caller {
            self.work_for(caller);
        }
        self.framer.send(frame, context);
    }

    fn on_close(&mut self, caller: Self::Session, reason: CloseReason, context: &mut Context<'_>) {
        if let Some(caller) = caller {
            debug!("session {} of {} closed: {reason}", context.id(), caller.address);
        }
    }
}

impl<W: Wrap> Echo<W> {
    /// Works as a real handler would, if this session is a costly one.
    #[cold]
    #[inline(never)]
    fn work_for(&mut self, caller: &Caller) {
        if caller.costly
            && let Some(cost) = &mut self.cost
        {
            cost.burn();
        }
    }
}

impl Cost {
    fn is_for_the_next_session(&self) -> bool {
        self.opened.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_in)
    }

    fn burn(&mut self) {
        let SpanRange(shortest, longest) = self.range;
        let spread = (longest.0 - shortest.0).as_nanos() as usize;
        let cost = shortest.0 + Duration::from_nanos(self.rng.below(spread + 1) as u64);
        let begin = Instant::now();
        while begin.elapsed() < cost {
            hint::spin_loop();
        }
    }
}
