//! Many writers, one reader: the only way into another thread's reactor.
//!
//! A post to a reactor that is awake is a push; only a post to one that sleeps costs a system call,
//! and of many such posts only the first. The reader swaps the whole list out and never works under
//! the lock. Generic over the mail, so that nothing here knows what the mails say.
//!
//! Invariant: `state` is `MAIL` from the moment a mail can be seen in the list until the reader has
//! acknowledged it, so a reader that finds no `MAIL` before it sleeps leaves nothing behind.
//!
//! Thread contract: [`Mailbox::post`] any-thread, the rest reactor-thread.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::wake::Wake;

/// The box, shared by its writers and its reader.
pub struct Mailbox<M> {
    list: Mutex<List<M>>,
    state: AtomicU8,
    mails_max: usize,
    waker: Arc<dyn Wake>,
}

struct List<M> {
    mails: VecDeque<M>,
    closed: bool,
}

/// Why a mail was not taken; it comes back with the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// `Limits::mailbox_mails_max` mails wait already: the reactor is behind, try later.
    Full,
    /// The reactor has stopped for good.
    Stopped,
}

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const MAIL: u8 = 2;

impl<M> Mailbox<M> {
    /// An empty box for at most `mails_max` mails, whose reader is woken by `waker`.
    pub fn new(mails_max: usize, waker: Arc<dyn Wake>) -> Mailbox<M> {
        Mailbox {
            list: Mutex::new(List { mails: VecDeque::new(), closed: false }),
            state: AtomicU8::new(AWAKE),
            mails_max,
            waker,
        }
    }

    /// Puts a mail into the box and wakes the reader if it sleeps.
    ///
    /// # Errors
    /// The mail itself, and why it was not taken.
    pub fn post(&self, mail: M) -> Result<(), (M, Refused)> {
        self.post_within(mail, self.mails_max)
    }

    /// Like [`Mailbox::post`], for the few mails that must get through to a reactor that is behind.
    ///
    /// # Errors
    /// The mail itself, when the reactor has stopped.
    pub fn post_always(&self, mail: M) -> Result<(), (M, Refused)> {
        self.post_within(mail, usize::MAX)
    }

    fn post_within(&self, mail: M, mails_max: usize) -> Result<(), (M, Refused)> {
        {
            let mut list = self.lock();
            if list.closed {
                return Err((mail, Refused::Stopped));
            }
            if list.mails.len() >= mails_max {
                return Err((mail, Refused::Full));
            }
            list.mails.push_back(mail);
        }
        if self.state.swap(MAIL, Ordering::AcqRel) == ASLEEP {
            self.waker.wake();
        }
        Ok(())
    }

    /// Announces that the reader is about to sleep; `false` means that there is mail instead.
    #[inline]
    pub fn fall_asleep(&self) -> bool {
        self.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Announces that the reader is awake, and says whether there may be mail.
    #[inline]
    pub fn wake_up(&self) -> bool {
        self.state.swap(AWAKE, Ordering::AcqRel) == MAIL
    }

    /// Swaps the waiting mails into `inbox`, which must be empty.
    pub fn take(&self, inbox: &mut VecDeque<M>) {
        debug_assert!(inbox.is_empty());
        std::mem::swap(&mut self.lock().mails, inbox);
    }

    /// Refuses all mail from now on and drops what waits.
    pub fn close(&self) {
        let mut list = self.lock();
        list.closed = true;
        let dropped = std::mem::take(&mut list.mails);
        // A mail may own anything, also a handle on this box: it is dropped outside of the lock.
        drop(list);
        drop(dropped);
    }

    /// No code runs under the lock that could leave the list half changed, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, List<M>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn boxed(mails_max: usize) -> (Mailbox<u32>, Arc<Counter>) {
        let counter = Arc::new(Counter::default());
        (Mailbox::new(mails_max, counter.clone()), counter)
    }

    #[test]
    fn only_the_first_post_to_a_sleeper_wakes_it() {
        let (mailbox, wakes) = boxed(10);
        mailbox.post(1).unwrap();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "the reader was awake");
        assert!(!mailbox.fall_asleep(), "there was mail");
        assert!(mailbox.wake_up());
        let mut inbox = VecDeque::new();
        mailbox.take(&mut inbox);
        assert!(mailbox.fall_asleep());
        mailbox.post(2).unwrap();
        mailbox.post(3).unwrap();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        assert!(mailbox.wake_up());
        inbox.clear();
        mailbox.take(&mut inbox);
        assert_eq!(inbox, [2, 3]);
    }

    #[test]
    fn a_full_box_gives_the_mail_back_and_a_stop_gets_through() {
        let (mailbox, _) = boxed(1);
        mailbox.post(1).unwrap();
        assert_eq!(mailbox.post(2), Err((2, Refused::Full)));
        mailbox.post_always(3).unwrap();
        mailbox.close();
        assert_eq!(mailbox.post_always(4), Err((4, Refused::Stopped)));
    }

    #[test]
    fn every_post_of_many_threads_is_read_in_its_writers_order() {
        let (mailbox, _) = boxed(usize::MAX);
        let mut seen: Vec<u32> = Vec::new();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let mailbox = &mailbox;
                scope.spawn(move || {
                    (0..1000).for_each(|n| mailbox.post(writer * 1000 + n).unwrap())
                });
            }
            let mut inbox = VecDeque::new();
            while seen.len() < 4000 {
                mailbox.take(&mut inbox);
                seen.extend(inbox.drain(..));
            }
        });
        for writer in 0..4 {
            let own: Vec<_> = seen.iter().copied().filter(|n| n / 1000 == writer).collect();
            assert!(own.is_sorted() && own.len() == 1000);
        }
    }
}
