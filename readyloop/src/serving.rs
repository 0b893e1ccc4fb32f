//! Whom a reactor's thread serves: known to its table of sessions, to its page, and to the `Remote`s
//! that callbacks use.
//!
//! Invariant: while answers go by the inbox, nobody is the page's writer, whoever begins to write.
//!
//! Thread contract: reactor-thread.

use std::cell::Cell;
use std::rc::Rc;

use crate::id::SessionId;
use crate::page::{NO_WRITER, Writer};

/// One reactor's.
#[derive(Debug)]
pub struct Serving {
    /// The bits of the page's writer; those of no session while it must not write.
    writer: Cell<u64>,
    /// What a writer's bits are changed with: nothing, or all of them.
    change: Cell<u64>,
    /// Who is served without being the writer.
    served: Cell<SessionId>,
    disturbed: Cell<bool>,
}

/// A session's generation is odd, so with all of its bits changed no session has such a name.
const ODD: u64 = 1 << 32;

impl Serving {
    /// Nobody is served.
    pub fn new() -> Serving {
        Serving {
            writer: Cell::new(NO_WRITER.to_bits()),
            change: Cell::new(0),
            served: Cell::new(SessionId::NONE),
            disturbed: Cell::new(false),
        }
    }

    /// `id` is served, and has perhaps nothing to write.
    pub fn serve(&self, id: SessionId) {
        self.served.set(id);
    }

    /// Who is served.
    pub fn served(&self) -> SessionId {
        match self.writer.get() {
            bits if bits == NO_WRITER.to_bits() => self.served.get(),
            bits => named(bits),
        }
    }

    /// From now on whoever is the writer may write, or may not.
    pub fn allow_writing(&self, may_write: bool) {
        self.change.set(if may_write { 0 } else { u64::MAX });
        if self.writer.get() != NO_WRITER.to_bits() {
            self.begin(named(self.writer.get()));
        }
    }

    /// Something has happened to a session, so that the one that is being read must be asked whether it
    /// still reads, and those on the page what they need.
    #[inline(always)]
    pub fn disturb(&self) {
        self.disturbed.set(true);
    }

    /// The same, if `something` has.
    #[inline(always)]
    pub fn disturb_if(&self, something: bool) {
        self.disturbed.set(self.disturbed.get() | something);
    }

    /// Whether anything has since that was taken last.
    #[inline(always)]
    pub fn is_disturbed(&self) -> bool {
        self.disturbed.get()
    }

    /// The same, and from now on nothing has.
    #[inline]
    pub fn take_disturbed(&self) -> bool {
        self.disturbed.take()
    }

    #[inline(always)]
    fn begin(&self, id: SessionId) {
        self.writer.set(id.to_bits() ^ self.change.get());
    }
}

/// Whose bits these are, changed or not.
fn named(bits: u64) -> SessionId {
    SessionId::from_bits(if bits & ODD == 0 { !bits } else { bits })
}

impl Writer for Rc<Serving> {
    #[inline(always)]
    fn is(&self, id: SessionId) -> bool {
        self.writer.get() == id.to_bits()
    }

    #[inline(always)]
    fn begin(&self, id: SessionId) {
        Serving::begin(self, id);
    }

    #[inline(always)]
    fn end(&self) -> SessionId {
        named(self.writer.replace(NO_WRITER.to_bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_writes_while_that_is_not_allowed_and_who_is_served_is_known() {
        let serving = Rc::new(Serving::new());
        let first = SessionId::new(0, 0, 1);
        serving.serve(first);
        assert_eq!(serving.served(), first);
        let second = SessionId::new(3, 7, u32::MAX);
        Writer::begin(&serving, second);
        assert!(serving.is(second) && serving.served() == second);
        serving.allow_writing(false);
        assert!(!serving.is(second) && serving.served() == second);
        assert_eq!((Writer::end(&serving), serving.served()), (second, first));
        Writer::begin(&serving, first);
        for id in [first, SessionId::NONE, NO_WRITER] {
            assert!(!serving.is(id), "{id}");
        }
        serving.allow_writing(true);
        assert!(serving.is(first));
        assert_eq!((Writer::end(&serving), Writer::end(&serving)), (first, NO_WRITER));
        serving.allow_writing(false);
        assert_eq!(serving.served(), first);
    }
}
