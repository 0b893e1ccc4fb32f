//! What the user writes: one trait, told facts in a fixed order.

use crate::close::CloseReason;
use crate::context::{Context, Peer};
use crate::framers::Framer;
use crate::id::SessionId;
use crate::wheel::TimerId;

/// The user's code. One instance for each thread that runs handlers, so `&mut self` is plain state
/// of one thread, without a lock. In the worker pool a session's calls may come on any worker, one
/// at a time: what belongs to a session lies in `Session`, which travels with it.
///
/// For each session, in this order and never at the same time: `on_open` once; any number of
/// `on_frame`, `on_timer`, `on_message` and `on_drained`; `on_peer_finished` at most once, after the last frame;
/// `on_closing` at most once; `on_close` once, and nothing after it. After a close no more frames
/// come, but a timer that was set before may. A panic in any of them ends that session with
/// [`CloseReason::HandlerPanicked`] and no other.
///
/// `M` is what other threads tell its sessions ([`Handler::on_message`]); a handler to which nobody tells
/// anything leaves it out.
///
/// ```
/// use readyloop::{Context, Handler, Lines, Peer};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     type Framer = Lines;
///     type Session = ();
///     fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Lines, ()) {
///         (Lines::new(1024), ())
///     }
///     fn on_frame(&mut self, _: &mut (), line: &[u8], context: &mut Context<'_>) {
///         context.send(line);
///         context.send(b"\n");
///     }
/// }
/// ```
pub trait Handler<M = ()>: Sized {
    /// Cuts a session's bytes into frames.
    type Framer: Framer + Send;
    /// The user's state for one connection.
    type Session: Send;

    /// The thread that runs this handler, a reactor's or a worker's, is about to begin. The place to
    /// dial from ([`Context::connect`]); but each thread has a handler and begins, so who wants to dial once
    /// does it in one of them.
    fn on_start(&mut self, _context: &mut Context<'_>) {}

    /// A session begins: a caller was accepted, or a dialled peer answered.
    fn on_open(&mut self, peer: &Peer, context: &mut Context<'_>) -> (Self::Framer, Self::Session);

    /// One whole frame, in the order of arrival. It is borrowed: copy what must outlive the call.
    fn on_frame(&mut self, session: &mut Self::Session, frame: &[u8], context: &mut Context<'_>);

    /// A timer of this session is due.
    fn on_timer(
        &mut self,
        _session: &mut Self::Session,
        _timer: TimerId,
        _context: &mut Context<'_>,
    ) {
    }

    /// A message for this session, told by [`Remote::tell`]. It comes in one order with whatever else is
    /// asked for through a `Remote`, also while the session is paused ([`Context::is_paused`]), as a timer
    /// does; and behind the frames that were handed over before. A `Remote::close` that is asked behind it waits
    /// until it was heard, and what is sent here leaves before the end. Once the end of the session has begun,
    /// because its handler has closed it, or by [`Handler::on_closing`], none comes: messages that are told then
    /// are dropped.
    ///
    /// [`Remote::tell`]: crate::Remote::tell
    fn on_message(
        &mut self,
        _session: &mut Self::Session,
        _message: M,
        _context: &mut Context<'_>,
    ) {
    }

    /// The send queue has been over the high mark and has fallen to the low mark: the session is
    /// read again, and a producer may go on.
    fn on_drained(&mut self, _session: &mut Self::Session, _context: &mut Context<'_>) {}

    /// The peer has ended its direction and will send no more. A frame that was incomplete then is
    /// dropped. Until the handler closes, it may go on sending.
    ///
    /// The default closes: what is queued leaves, then the session ends with
    /// [`CloseReason::PeerFinished`].
    fn on_peer_finished(&mut self, _session: &mut Self::Session, context: &mut Context<'_>) {
        context.close();
    }

    /// The reactor is about to close a session by its own decision, and its peer can still be told
    /// why: `Malformed`, `FrameTooLong`, `IdleTimeout`, `HandshakeTimeout` or `Stopped`. What is
    /// sent here is the last that leaves.
    fn on_closing(
        &mut self,
        _session: &mut Self::Session,
        _reason: CloseReason,
        _context: &mut Context<'_>,
    ) {
    }

    /// The session is over; its state comes back by value. The context's id is still that of the session,
    /// for tables of your own, and stale: what is sent to it reaches nobody.
    ///
    /// A session that was closed, by its handler or by a `Remote`, is over when its queue has left and its
    /// peer has ended too; that takes up to `Limits::drain_timeout` and `Limits::linger_timeout`. What must end
    /// at once (a name, an order that rests) is ended where the close is asked for.
    fn on_close(
        &mut self,
        _session: Self::Session,
        _reason: CloseReason,
        _context: &mut Context<'_>,
    ) {
    }

    /// A peer that was dialled did not answer, or said no: the session was never opened, and has no
    /// timers. Dialling again from here, when dials fail at once, is a loop: a thread of yours can wait, and
    /// dial by [`Remote::run_on`](crate::Remote::run_on).
    fn on_connect_failed(
        &mut self,
        _id: SessionId,
        _reason: CloseReason,
        _context: &mut Context<'_>,
    ) {
    }
}
