//! Who asks on this thread: so that what is asked through [`Context`] and through a `Remote` is done in
//! the order in which it was asked.
//!
//! A `Remote` posts at once. What its thread has asked for before, through the context of the callback
//! that runs there, may not have left yet: it is posted first. What the callback asks for afterwards
//! follows, because it leaves later, by the same inbox.
//!
//! Thread contract: each thread has its own.
//!
//! [`Context`]: crate::Context

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::letter::Letter;
use crate::mailbox::{Mailbox, Refused};

/// The inboxes of a server's reactors, by number.
pub type Inboxes = Arc<[Arc<Mailbox<Letter>>]>;

/// What runs callbacks on this thread: a reactor, or a worker.
pub trait Asker {
    /// Posts what the callback has asked so far of a reactor.
    fn post_so_far(&self, inboxes: &Inboxes, reactor: usize);

    /// Posts what a `Remote` is asked, behind that. If the reactor's inbox has no room it is taken all the
    /// same, and whoever is served is not read until it has.
    ///
    /// # Errors
    /// When the letter was not taken: the reactor has stopped, or who is held already has asked too much
    /// since.
    fn post(&self, inboxes: &Inboxes, reactor: usize, letter: Letter) -> Result<(), Refused>;
}

thread_local! {
    static ASKER: RefCell<Option<Rc<dyn Asker>>> = const { RefCell::new(None) };
}

/// Callbacks that run on this thread are `asker`'s, until the answer is dropped.
pub fn enter(asker: Rc<dyn Asker>) -> Entered {
    Entered { before: ASKER.replace(Some(asker)) }
}

/// Who asks on this thread now.
pub fn current() -> Option<Rc<dyn Asker>> {
    ASKER.with_borrow(Clone::clone)
}

/// An asker's time; the one before it goes on afterwards.
pub struct Entered {
    before: Option<Rc<dyn Asker>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        ASKER.set(self.before.take());
    }
}
