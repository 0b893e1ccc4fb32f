//! The session that is being served: whether it goes on, and its answers.

use crate::id::SessionId;
use crate::page::Writer;
use crate::session::Session;

use super::{Sessions, key};

impl Sessions {
    /// Plain bytes have come for the session. If it is simply read and answered
    /// ([`Session::is_simple`]), it is expected to answer, and may write on the page: whoever was
    /// served before it is done. `false` for all others, also the dead.
    #[inline(always)]
    pub fn serve(&mut self, id: SessionId) -> bool {
        if self.page.is_silent() {
            self.settle_writer();
        }
        let Some(session) = self.slab.get_mut(key(id)) else { return false };
        if !session.is_simple() || !session.may_write_on_page(self.unflushed) {
            return false;
        }
        let Some(entry) = self.page.begin_if_there_is_room(id) else { return false };
        session.entry = entry;
        true
    }

    /// Frames, or anything else, are about to be told to the handler of `id`, which is not the page's
    /// writer for it.
    pub fn serve_beside_page(&mut self, id: SessionId) {
        if self.page.has_writer() && !self.page.writer().is(id) {
            self.settle_writer();
        }
        self.page.writer().serve(id);
    }

    /// Sends a copy of `bytes` to the session that is being served; `false` when it has ended or is
    /// ending.
    #[inline(always)]
    pub fn answer(&mut self, id: SessionId, bytes: &[u8]) -> bool {
        self.page.append(id, bytes) || self.answer_anew(id, [bytes, &[]])
    }

    /// The first `width` bytes of `prefix`, and a copy of `bytes`, likewise.
    #[inline(always)]
    pub fn answer_prefixed(
        &mut self,
        id: SessionId,
        prefix: [u8; 8],
        width: usize,
        bytes: &[u8],
    ) -> bool {
        self.page.append_prefixed(id, prefix, width, bytes)
            || self.answer_anew(id, [&prefix[..width], bytes])
    }

    /// The session is not the page's writer, or there is no room. Not inlined: the common case needs no
    /// registers saved without it.
    #[inline(never)]
    fn answer_anew(&mut self, id: SessionId, [first, second]: [&[u8]; 2]) -> bool {
        if self.follows() {
            return self.send_following(id, [first, second].concat().into());
        }
        match self.get(id).is_some_and(Session::encodes) {
            true => self.send_encoded(id, [first, second]),
            false if first.is_empty() || second.is_empty() => {
                self.send(id, if first.is_empty() { second } else { first })
            }
            false => self.send(id, first) && self.send(id, second),
        }
    }

    /// The same for the session that is being read, which was asked when that began: unless any was
    /// paused, closed or killed since, or has filled an inbox, it still reads, and whoever is on the page
    /// can be written, without being asked.
    #[inline]
    pub fn still_reads(&mut self, id: SessionId) -> bool {
        !self.page.writer().is_disturbed() || self.reads_after_all(id)
    }

    #[cold]
    fn reads_after_all(&mut self, id: SessionId) -> bool {
        self.hold_askers();
        self.reads(id)
    }
}
