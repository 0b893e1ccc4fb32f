//! Sending to sessions whose messages are encoded.
//!
//! A session knows its header, if it has one. Encoders, which few sessions have, are kept beside the
//! table, by slot.
//!
//! Invariant: a session has an encoder exactly while it encodes and has no header, until it is dead.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use bytes::Bytes;

use crate::close::CloseReason;
use crate::encoder::{Encoding, Form, Header, HeaderBytes, Stateful};
use crate::id::SessionId;
use crate::page::Page;
use crate::serving::Serving;
use crate::session::Session;

use super::{Sessions, key};

/// What a panic has left behind.
type Panic = Box<dyn Any + Send>;

impl Sessions {
    /// Encodes all that is sent to the session from now on; `false` if its end has begun.
    pub fn set_encoding(&mut self, id: SessionId, encoding: Encoding) -> bool {
        // Whoever writes on the page does not ask whether anything is encoded.
        self.settle_writer();
        let session = self.slab.get_mut(key(id)).filter(|session| session.accepts());
        let Some(session) = session else {
            self.drop_encoder(id, encoding.into_encoder());
            return false;
        };
        session.set_form(encoding.form());
        let old = self.encoders.replace(id, encoding.into_encoder());
        self.drop_encoder(id, old);
        true
    }

    /// How the session's messages are encoded.
    pub(super) fn form(&self, id: SessionId) -> Form {
        match self.get(id) {
            Some(session) if session.encodes() => match session.header() {
                Some(header) => Form::Header(header),
                None => self.encoders.get(id).map_or(Form::Plain, Stateful::form),
            },
            _ => Form::Plain,
        }
    }

    /// The session is over, and so is its encoder.
    pub(super) fn forget_encoder(&mut self, id: SessionId) {
        let old = self.encoders.replace(id, None);
        self.drop_encoder(id, old);
    }

    /// It is the user's, and may panic also then.
    fn drop_encoder(&mut self, id: SessionId, encoder: Option<Box<Stateful>>) {
        if encoder.is_some()
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(encoder)))
        {
            self.encoder_panicked(id, panic);
        }
    }

    /// The session whose encoder it is ends, whoever has sent to it.
    #[cold]
    pub(super) fn encoder_panicked(&mut self, id: SessionId, panic: Panic) {
        self.stats.panics += 1;
        self.encoders.panics.push((id, panic));
        self.kill(id, CloseReason::HandlerPanicked);
    }

    /// Panics of encoders that were not reported.
    pub fn take_encoder_panics(&mut self) -> Vec<(SessionId, Panic)> {
        std::mem::take(&mut self.encoders.panics)
    }

    /// What an encoding wants to be said last, if the session can still be told.
    #[inline]
    pub(super) fn send_closing(&mut self, id: SessionId) {
        if let Some(session) = self.get(id).filter(|session| session.encodes()) {
            match session.header() {
                Some(header) => self.queue_closing(id, header.closing),
                None => self.send_closing_of_encoder(id),
            }
        }
    }

    #[cold]
    fn send_closing_of_encoder(&mut self, id: SessionId) {
        let mut out = Vec::new();
        let Some(stateful) = self.encoders.get_mut(id) else { return };
        match catch_unwind(AssertUnwindSafe(|| stateful.encoder.closing(&mut out))) {
            Ok(()) => self.queue_closing(id, &out),
            Err(panic) => self.encoder_panicked(id, panic),
        }
    }

    /// However much waits: a close loses nothing of that, and is no reason to lose the session.
    fn queue_closing(&mut self, id: SessionId, bytes: &[u8]) {
        if let Some(session) = self.slab.get_mut(key(id)).filter(|session| session.accepts()) {
            session.queue.push(bytes, &mut self.stock);
            self.mark_dirty(id);
        }
    }

    /// Sends these bytes as they are.
    pub fn send_bare(&mut self, id: SessionId, bytes: &[u8]) -> bool {
        self.send_pieces(id, [bytes, &[], &[]])
    }

    /// Sends what the session's handler has sent elsewhere. Heads were written there.
    pub fn send_answer_from_elsewhere(&mut self, id: SessionId, bytes: &[u8]) -> bool {
        match self.get(id).is_some_and(Session::is_stateful) {
            true => self.send_encoded(id, [bytes, &[]]),
            false => self.send_bare(id, bytes),
        }
    }

    /// Sends both pieces as one message to a session that encodes.
    #[inline(never)]
    pub(super) fn send_encoded(&mut self, id: SessionId, [first, second]: [&[u8]; 2]) -> bool {
        let count = first.len() + second.len();
        if let Some(header) = self.get(id).and_then(Session::header) {
            let Some(head) = self.head(id, header, count) else { return false };
            return self.send_pieces(id, [head.as_slice(), first, second]);
        }
        let room = self.limits.send_max_bytes.saturating_sub(self.unsent_bytes(id));
        let mut joined = std::mem::take(&mut self.encoders.joined);
        let message = if second.is_empty() { first } else { join(&mut joined, [first, second]) };
        let is_sent = self.send_by_encoder(id, |stateful, out| {
            let fits = stateful.form().encoded_bytes_max(count) <= room;
            if fits {
                stateful.encoder.encode(message, out);
            }
            fits
        });
        self.encoders.joined = kept(joined);
        is_sent
    }

    /// What goes ahead of a message of so many bytes.
    fn head(&mut self, id: SessionId, header: &Header, count: usize) -> Option<HeaderBytes> {
        head(header, count).map_err(|panic| self.encoder_panicked(id, panic)).ok()
    }

    /// Sends what is written by the session's encoder, if that says that there is room for it.
    fn send_by_encoder(
        &mut self,
        id: SessionId,
        write: impl FnOnce(&mut Stateful, &mut Vec<u8>) -> bool,
    ) -> bool {
        // What is not sent is not encoded.
        if !self.get(id).is_some_and(Session::accepts) {
            return false;
        }
        let mut out = std::mem::take(&mut self.encoders.out);
        let Some(stateful) = self.encoders.get_mut(id) else { return false };
        let is_sent = match catch_unwind(AssertUnwindSafe(|| write(stateful, &mut out))) {
            Ok(true) => self.send_bare(id, &out),
            Ok(false) => {
                self.kill(id, CloseReason::SendFull);
                false
            }
            Err(panic) => {
                self.encoder_panicked(id, panic);
                false
            }
        };
        out.clear();
        self.encoders.out = kept(out);
        is_sent
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

    /// Sends shared `bytes` as one message to a session that encodes.
    pub(super) fn send_shared_encoded(&mut self, id: SessionId, bytes: Bytes) -> bool {
        let Some(header) = self.get(id).and_then(Session::header) else {
            return self.send_encoded(id, [&bytes, &[]]);
        };
        let Some(head) = self.head(id, header, bytes.len()) else { return false };
        self.queue(id, head.as_slice().len() + bytes.len(), |queue, stock| {
            queue.push(head.as_slice(), stock);
            queue.push_shared(bytes, stock);
        })
    }
}

/// The encoders of a reactor's sessions, and what they write.
#[derive(Default)]
pub(super) struct Encoders {
    /// By slot; as many as were needed.
    slots: Vec<Option<Box<Stateful>>>,
    /// Room for a message that is sent in two pieces.
    joined: Vec<u8>,
    /// Room for what is written.
    out: Vec<u8>,
    /// Panics that were not reported.
    panics: Vec<(SessionId, Panic)>,
}

/// Room that is kept when it was more.
const BYTES_KEPT: usize = 64 << 10;

impl Encoders {
    fn get(&self, id: SessionId) -> Option<&Stateful> {
        self.slots.get(id.index())?.as_deref()
    }

    fn get_mut(&mut self, id: SessionId) -> Option<&mut Stateful> {
        self.slots.get_mut(id.index())?.as_deref_mut()
    }

    /// Puts another encoder, or none, into the place of the one that is returned.
    fn replace(&mut self, id: SessionId, new: Option<Box<Stateful>>) -> Option<Box<Stateful>> {
        if new.is_some() && self.slots.len() <= id.index() {
            self.slots.resize_with(id.index() + 1, || None);
        }
        self.slots.get_mut(id.index()).and_then(|slot| std::mem::replace(slot, new))
    }
}

/// Both pieces behind each other.
fn join<'b>(joined: &'b mut Vec<u8>, pieces: [&[u8]; 2]) -> &'b [u8] {
    joined.clear();
    pieces.into_iter().for_each(|piece| joined.extend_from_slice(piece));
    joined
}

/// What goes ahead of a message of so many bytes: the user's word, too.
fn head(header: &Header, count: usize) -> Result<HeaderBytes, Panic> {
    catch_unwind(AssertUnwindSafe(|| (header.head)(count)))
}

fn kept(room: Vec<u8>) -> Vec<u8> {
    if room.capacity() > BYTES_KEPT { Vec::new() } else { room }
}

/// A message to many, of whom some want it behind a head: made once for all who want the same.
pub(super) struct Copies {
    pub(super) message: Bytes,
    made: Vec<(Option<&'static Header>, Copy)>,
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

    /// The message as sessions with this header get it. A head that panics does so for each of them.
    pub(super) fn behind(
        &mut self,
        header: Option<&'static Header>,
        page: &mut Page<Rc<Serving>>,
    ) -> Result<&Copy, Panic> {
        let wanted = header.map(std::ptr::from_ref);
        let known = self.made.iter().position(|(one, _)| one.map(std::ptr::from_ref) == wanted);
        let nth = match known {
            Some(nth) => nth,
            None => {
                let bytes = match header {
                    Some(header) => {
                        let head = head(header, self.message.len())?;
                        [head.as_slice(), &self.message].concat().into()
                    }
                    None => self.message.clone(),
                };
                self.made.push((header, Copy { number: page.share(bytes.clone()), bytes }));
                self.made.len() - 1
            }
        };
        Ok(&self.made[nth].1)
    }
}
