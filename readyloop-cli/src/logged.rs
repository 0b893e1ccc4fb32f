//! A handler around another one, which logs where sessions begin and end.
//!
//! It exists because a protocol's handler does not log. Nothing is remembered of a session whose
//! end will not be logged.

use readyloop::{Address, CloseReason, Context, Handler, Peer, SessionId, TimerId};
use tracing::{Level, debug, enabled};

/// The handler `H`, logged.
pub struct Logged<H>(pub H);

impl<M, H: Handler<M>> Handler<M> for Logged<H> {
    type Framer = H::Framer;
    type Session = (H::Session, Option<Box<Address>>);

    fn on_start(&mut self, context: &mut Context<'_>) {
        self.0.on_start(context);
    }

    fn on_open(&mut self, peer: &Peer, context: &mut Context<'_>) -> (H::Framer, Self::Session) {
        debug!("session {} opened by {}", context.id(), peer.address);
        let (framer, session) = self.0.on_open(peer, context);
        let caller = enabled!(Level::DEBUG).then(|| Box::new(peer.address.clone()));
        (framer, (session, caller))
    }

    #[inline(always)]
    fn on_frame(&mut self, session: &mut Self::Session, frame: &[u8], context: &mut Context<'_>) {
        self.0.on_frame(&mut session.0, frame, context);
    }

    fn on_timer(&mut self, session: &mut Self::Session, timer: TimerId, context: &mut Context<'_>) {
        self.0.on_timer(&mut session.0, timer, context);
    }

    fn on_message(&mut self, session: &mut Self::Session, message: M, context: &mut Context<'_>) {
        self.0.on_message(&mut session.0, message, context);
    }

    fn on_drained(&mut self, session: &mut Self::Session, context: &mut Context<'_>) {
        self.0.on_drained(&mut session.0, context);
    }

    fn on_peer_finished(&mut self, session: &mut Self::Session, context: &mut Context<'_>) {
        self.0.on_peer_finished(&mut session.0, context);
    }

    fn on_closing(
        &mut self,
        session: &mut Self::Session,
        reason: CloseReason,
        context: &mut Context<'_>,
    ) {
        self.0.on_closing(&mut session.0, reason, context);
    }

    fn on_close(
        &mut self,
        (session, caller): Self::Session,
        reason: CloseReason,
        context: &mut Context<'_>,
    ) {
        if let Some(caller) = caller {
            debug!("session {} of {caller} closed: {reason}", context.id());
        }
        self.0.on_close(session, reason, context);
    }

    fn on_connect_failed(&mut self, id: SessionId, reason: CloseReason, context: &mut Context<'_>) {
        debug!("session {id} did not come to be: {reason}");
        self.0.on_connect_failed(id, reason, context);
    }
}
