//! Sending to sessions whose messages are put in envelopes.

use std::rc::Rc;

use bytes::Bytes;

use crate::envelope::Envelope;
use crate::id::SessionId;
use crate::page::Page;
use crate::serving::Serving;
use crate::session::Session;

use super::{Sessions, key};

impl Sessions {
    /// Puts this around all that is sent to the session from now on; `false` if its end has begun.
    pub fn set_envelope(&mut self, id: SessionId, envelope: Option<&'static Envelope>) -> bool {
        // Whoever writes on the page does not ask for an envelope.
        self.settle_writer();
        match self.slab.get_mut(key(id)) {
            Some(session) if session.accepts() => {
                session.set_envelope(envelope);
                true
            }
            _ => false,
        }
    }

    /// What an envelope wants to be said last, if the session can still be told.
    #[inline]
    pub(super) fn say_farewell(&mut self, id: SessionId) {
        if let Some(envelope) = self.get(id).and_then(Session::envelope) {
            let farewell = envelope.farewell;
            self.send_bare(id, farewell);
        }
    }

    /// Sends these bytes as they are.
    pub fn send_bare(&mut self, id: SessionId, bytes: &[u8]) -> bool {
        self.send_pieces(id, [bytes, &[], &[]])
    }

    /// Sends both pieces as one message.
    #[inline(never)]
    pub(super) fn send_sealed(
        &mut self,
        id: SessionId,
        envelope: &Envelope,
        message: [&[u8]; 2],
    ) -> bool {
        let [first, second] = message;
        let head = (envelope.head)(first.len() + second.len());
        self.send_pieces(id, [head.as_slice(), first, second])
    }

    /// Several messages in one turn lie behind each other on the page, like those of a writer.
    fn send_pieces(&mut self, id: SessionId, pieces: [&[u8]; 3]) -> bool {
        self.settle_writer();
        let count = pieces.iter().map(|piece| piece.len()).sum();
        let room = self.page.room();
        let Some(session) = self.slab.get_mut(key(id)) else { return false };
        let is_new = session.may_write_on_page(self.unflushed) && count > 0;
        let goes_on = self.page.ends_with(session.entry) && session.queue.is_empty();
        if session.accepts() && !session.is_blocked() && (is_new || goes_on) && count <= room {
            self.page.writer().disturb_if(!session.reads());
            if is_new {
                session.entry = self.page.enter(id);
            }
            pieces.into_iter().for_each(|piece| self.page.add(piece));
            return true;
        }
        self.queue(id, count, |queue, stock| {
            pieces.into_iter().for_each(|piece| queue.push(piece, stock));
        })
    }

    /// Sends shared `bytes` as one message.
    pub(super) fn send_shared_sealed(
        &mut self,
        id: SessionId,
        envelope: &Envelope,
        bytes: Bytes,
    ) -> bool {
        let head = (envelope.head)(bytes.len());
        self.queue(id, head.as_slice().len() + bytes.len(), |queue, stock| {
            queue.push(head.as_slice(), stock);
            queue.push_shared(bytes, stock);
        })
    }
}

/// A message to many, of whom some want it in an envelope: made once for all who want the same.
pub(super) struct Copies {
    message: Bytes,
    made: Vec<(Option<&'static Envelope>, Copy)>,
}

/// A message as some of the many get it.
#[derive(Clone)]
pub(super) struct Copy {
    pub(super) bytes: Bytes,
    /// Its number among what is shared on the page.
    pub(super) number: u32,
}

impl Copies {
    pub(super) fn new(message: Bytes) -> Copies {
        Copies { message, made: Vec::new() }
    }

    /// The message as sessions with this envelope get it.
    pub(super) fn sealed_in(
        &mut self,
        envelope: Option<&'static Envelope>,
        page: &mut Page<Rc<Serving>>,
    ) -> &Copy {
        let wanted = envelope.map(std::ptr::from_ref);
        let known = self.made.iter().position(|(one, _)| one.map(std::ptr::from_ref) == wanted);
        let nth = known.unwrap_or_else(|| {
            let bytes = match envelope {
                Some(envelope) => {
                    [(envelope.head)(self.message.len()).as_slice(), &self.message].concat().into()
                }
                None => self.message.clone(),
            };
            self.made.push((envelope, Copy { number: page.share(bytes.clone()), bytes }));
            self.made.len() - 1
        });
        &self.made[nth].1
    }
}
