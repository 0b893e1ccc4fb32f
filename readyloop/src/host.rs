//! Where handlers run: in place, on the reactor's thread, or elsewhere.
//!
//! The reactor tells facts to a host. [`Inline`] is a handler that hears them at once; the other one is
//! `Lanes`, which hands them to workers. Chosen at compile time, so what runs in place pays nothing for
//! what could run elsewhere.

use std::marker::PhantomData;
use std::ops::Range;

use crate::clock::Now;
use crate::close::CloseReason;
use crate::context::{Context, Peer};
use crate::framers::{Framer, Step};
use crate::handler::Handler;
use crate::id::SessionId;
use crate::incident::Incident;
use crate::message::Message;
use crate::sessions::Sessions;
use crate::wheel::TimerId;

/// What a handler is told of an open session, besides its frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// A timer is due.
    Timer(TimerId),
    /// The send queue has fallen to the low mark.
    Drained,
    /// The peer has ended its direction.
    PeerFinished,
    /// The reactor is about to close it.
    Closing(CloseReason),
}

/// How far some bytes were handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// How many of them are done with.
    pub consumed: usize,
    /// How many bytes the framer wants, from the first one that was not handled.
    pub wanted: usize,
}

/// What the reactor keeps for each session on behalf of its host.
pub trait Seats<F, S> {
    /// The framer and the state of the session in this slot, if a handler has met it and it has not
    /// ended.
    fn seat(&mut self, id: SessionId) -> Option<(&mut F, &mut S)>;
}

/// Where handlers run: in place ([`Inline`]), or on workers, behind [`Lanes`](crate::Lanes). Nothing else
/// can be one.
#[expect(private_bounds, reason = "what a reactor tells a host is nobody else's concern")]
pub trait Host: Hosting {
    /// What other threads tell its handlers ([`Handler::on_message`]).
    type Message: Send + 'static;
}

/// A handler that runs in place, on the reactor's thread, and is told messages of the type `M`.
pub struct Inline<H, M = ()> {
    handler: H,
    told: PhantomData<fn(M)>,
}

impl<H: Handler<M>, M: Send + 'static> Inline<H, M> {
    pub(crate) fn new(handler: H) -> Inline<H, M> {
        Inline { handler, told: PhantomData }
    }
}

/// What a reactor tells a host. The reactor catches what panics in place.
pub(crate) trait Hosting {
    /// Cuts a session's bytes into frames.
    type Framer: Framer;
    /// What is kept in the reactor for each session.
    type Session;
    /// Whether handlers run on other threads, and act by mail.
    const ELSEWHERE: bool;

    /// The reactor is about to take its first turn.
    fn start(&mut self, sessions: &mut Sessions);

    /// A session begins.
    fn open(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        peer: Peer,
    ) -> (Self::Framer, Self::Session);

    /// A whole frame.
    fn frame(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        session: &mut Self::Session,
        frame: &[u8],
    );

    /// Cuts `input`, from behind its first `consumed` bytes, into frames, until the bytes or the
    /// session's will to read end.
    #[inline]
    fn cut(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        framer: &mut Self::Framer,
        session: &mut Self::Session,
        input: &mut [u8],
        consumed: usize,
    ) -> Cut {
        match input.len() - consumed <= sessions.limits().frame_bytes_max {
            true => {
                cut_in_place::<Self, false>(self, sessions, id, (framer, session), input, consumed)
            }
            false => {
                cut_in_place::<Self, true>(self, sessions, id, (framer, session), input, consumed)
            }
        }
    }

    /// Anything else.
    fn tell(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        session: &mut Self::Session,
        news: News,
    );

    /// A message of another thread for an open session.
    fn message(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        session: &mut Self::Session,
        message: Message,
    );

    /// A session may be read again, and what was read of it is to be handled.
    fn resume(&mut self, _id: SessionId, _session: &Self::Session) {}

    /// A session is over that handlers knew by this name.
    fn close(
        &mut self,
        sessions: &mut Sessions,
        name: SessionId,
        session: Self::Session,
        reason: CloseReason,
    );

    /// A peer that was dialled did not answer, or said no.
    fn connect_failed(&mut self, sessions: &mut Sessions, name: SessionId, reason: CloseReason);

    /// Whether the peer of this session waits for a handler elsewhere, and not the other way about.
    fn is_busy(&self, _session: &Self::Session) -> bool {
        false
    }

    /// Takes what workers have given back.
    #[inline]
    fn take_home(&mut self) {}

    /// Does what handlers elsewhere have asked for, of those who have given back their sessions before
    /// more than this many letters were posted; of at most `left` of them, which grows less. `false` if
    /// that was not enough.
    #[inline]
    fn come_home(
        &mut self,
        _sessions: &mut Sessions,
        _seats: &mut impl Seats<Self::Framer, Self::Session>,
        _opened: u64,
        _left: &mut usize,
    ) -> bool {
        true
    }

    /// Hands over what is ready to leave at once.
    #[inline]
    fn set_out(&mut self, _now: Now) {}

    /// Hands over what is for handlers elsewhere.
    fn depart(
        &mut self,
        _sessions: &mut Sessions,
        _seats: &mut impl Seats<Self::Framer, Self::Session>,
    ) {
    }

    /// Whether nothing is left to do that no event will announce.
    #[inline]
    fn has_work(&self) -> bool {
        false
    }

    /// Whether no handler elsewhere has anything left to do.
    #[inline]
    fn is_idle(&self) -> bool {
        true
    }

    /// When handlers elsewhere must be looked after.
    #[inline]
    fn next_check(&self) -> Option<Now> {
        None
    }

    /// Looks after handlers elsewhere.
    fn check(&mut self, _now: Now, _report: &dyn Fn(Incident)) {}
}

impl<H: Handler<M>, M: Send + 'static> Host for Inline<H, M> {
    type Message = M;
}

impl<H: Handler<M>, M: Send + 'static> Hosting for Inline<H, M> {
    type Framer = H::Framer;
    type Session = H::Session;
    const ELSEWHERE: bool = false;

    fn start(&mut self, sessions: &mut Sessions) {
        self.handler.on_start(&mut Context::here(sessions, SessionId::NONE));
    }

    fn open(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        peer: Peer,
    ) -> (H::Framer, H::Session) {
        let introduced = self.handler.on_open(&peer, &mut Context::here(sessions, id));
        sessions.stats.opened += 1;
        introduced
    }

    #[inline(always)]
    fn frame(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        session: &mut H::Session,
        frame: &[u8],
    ) {
        self.handler.on_frame(session, frame, &mut Context::here(sessions, id));
    }

    fn tell(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        session: &mut H::Session,
        news: News,
    ) {
        tell(&mut self.handler, session, news, &mut Context::here(sessions, id));
    }

    fn message(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        session: &mut H::Session,
        message: Message,
    ) {
        if let Some(message) = message.open::<M>() {
            self.handler.on_message(session, message, &mut Context::here(sessions, id));
        }
    }

    fn close(
        &mut self,
        sessions: &mut Sessions,
        name: SessionId,
        session: H::Session,
        reason: CloseReason,
    ) {
        self.handler.on_close(session, reason, &mut Context::here(sessions, name));
    }

    fn connect_failed(&mut self, sessions: &mut Sessions, name: SessionId, reason: CloseReason) {
        self.handler.on_connect_failed(name, reason, &mut Context::here(sessions, name));
    }
}

/// The bytes that the framer is shown, of those that are there: no more than a frame may have, so how
/// bytes are cut on their way does not change whether a frame is too long. `LONG`: whether there may be
/// more of them.
#[inline(always)]
pub(crate) fn shown<'i, const LONG: bool>(
    sessions: &Sessions,
    input: &'i mut [u8],
) -> &'i mut [u8] {
    if !LONG {
        return input;
    }
    let length = input.len().min(sessions.limits().frame_bytes_max);
    &mut input[..length]
}

#[inline(always)]
fn cut_in_place<H: Hosting + ?Sized, const LONG: bool>(
    host: &mut H,
    sessions: &mut Sessions,
    id: SessionId,
    (framer, session): (&mut H::Framer, &mut H::Session),
    input: &mut [u8],
    mut consumed: usize,
) -> Cut {
    while consumed < input.len() && sessions.still_reads(id) {
        let rest = shown::<LONG>(sessions, &mut input[consumed..]);
        match deliver_one(host, sessions, id, framer, session, rest) {
            Ok(used) => consumed += used,
            Err(wanted) => return Cut { consumed, wanted },
        }
    }
    Cut { consumed, wanted: 0 }
}

/// Hands over the first frame of `input`, and says how many bytes are done with; or how many bytes
/// the framer wants before it is asked again.
#[inline(always)]
pub(crate) fn deliver_one<H: Hosting + ?Sized>(
    host: &mut H,
    sessions: &mut Sessions,
    id: SessionId,
    framer: &mut H::Framer,
    session: &mut H::Session,
    input: &mut [u8],
) -> Result<usize, usize> {
    let (frame, consumed) = next_frame(framer, sessions, input)?;
    sessions.stats.frames += 1;
    host.frame(sessions, id, session, &input[frame]);
    Ok(consumed)
}

/// Where the first frame of `input` lies, and how many bytes are done with it; or how many bytes
/// the framer wants before it is asked again. What must be refused is noted in `sessions`.
#[inline(always)]
pub fn next_frame(
    framer: &mut impl Framer,
    sessions: &mut Sessions,
    input: &mut [u8],
) -> Result<(Range<usize>, usize), usize> {
    let refusal = match framer.next(input) {
        Step::Frame { frame, consumed }
            if consumed >= 1 && consumed <= input.len() && input.get(frame.clone()).is_some() =>
        {
            return Ok((frame, consumed));
        }
        Step::NeedMore { at_least } => {
            let wanted = at_least.max(input.len() + 1);
            if wanted <= sessions.limits().frame_bytes_max {
                return Err(wanted);
            }
            CloseReason::FrameTooLong
        }
        Step::Frame { .. } => CloseReason::FramerBroke,
        Step::Malformed(why) => CloseReason::Malformed(why),
        Step::TooLong => CloseReason::FrameTooLong,
    };
    sessions.refusal = Some(refusal);
    Err(0)
}

/// Tells a handler its news.
pub fn tell<H: Handler<M>, M>(
    handler: &mut H,
    session: &mut H::Session,
    news: News,
    context: &mut Context<'_>,
) {
    match news {
        News::Timer(timer) => handler.on_timer(session, timer, context),
        News::Drained => handler.on_drained(session, context),
        News::PeerFinished => handler.on_peer_finished(session, context),
        News::Closing(reason) => handler.on_closing(session, reason, context),
    }
}
