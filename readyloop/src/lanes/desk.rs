//! What the reactor keeps for a session whose handler runs elsewhere.

use crate::framers::{Framer, Step};
use crate::id::SessionId;
use crate::sessions::Sessions;

use super::lane::{Batch, Lane};

/// A framer that comes when the handler has met the session; the session is not read before.
pub struct Late<F>(pub Option<F>);

impl<F: Framer> Framer for Late<F> {
    #[inline(always)]
    fn next(&mut self, input: &mut [u8]) -> Step {
        match &mut self.0 {
            Some(framer) => framer.next(input),
            None => Step::NeedMore { at_least: 0 },
        }
    }
}

/// The reactor's end of one lane.
pub struct Desk<F, S> {
    /// The lane, when it is here.
    pub(super) home: Option<Box<Lane<F, S>>>,
    /// What gathers for its next trip.
    pub(super) pending: Option<Box<Batch<F>>>,
}

impl<F, S> Desk<F, S> {
    pub(super) fn new(name: SessionId) -> Desk<F, S> {
        Desk { home: Some(Lane::new(name)), pending: None }
    }

    /// The lane is home with what `batch` has not done: perhaps the handler has heard all messages.
    #[cold]
    pub(super) fn hear(&self, sessions: &mut Sessions, id: SessionId, batch: &Batch<F>) {
        let gathers = self.pending.as_ref().is_some_and(|pending| pending.has_messages());
        if !gathers && !batch.has_messages() {
            sessions.has_heard(id);
        }
    }
}
