//! Many writers, one reader: the only way into another thread's reactor.
//!
//! A post to a reactor that is awake is a push; only a post to one that sleeps costs a system call,
//! and of many such posts only the first. The reader swaps the whole list out and never works under
//! the lock. Generic over the mail, so that nothing here knows what the mails say. A reader may
//! have several boxes, one for each kind of mail; they ring one bell.
//!
//! A box is bounded by what was posted and not yet handled: what the reader has taken counts until
//! it says that it is done with it. A mail is taken as long as the bounds are not reached, whatever
//! it weighs: one that is larger than a bound could never be posted otherwise, and a large one that
//! had to wait for so much room could wait for ever behind small ones.
//!
//! Invariant: the bell's state is `MAIL` from the moment a mail can be seen in a list until the
//! reader has acknowledged it, so a reader that finds no `MAIL` before it sleeps leaves nothing
//! behind.
//!
//! Thread contract: [`Mailbox::post`] and [`Bell::ring`] any-thread, the rest of the reader's
//! thread.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use crate::limits::Limits;
use crate::load::Load;
use crate::sync::{AtomicU8, AtomicU64, Mutex, MutexGuard, Ordering};
use crate::wake::Wake;

/// The bounds of a reactor's inbox.
pub fn inbox_bounds(limits: &Limits) -> Load {
    Load { mails: limits.mailbox_mails_max, bytes: limits.mailbox_bytes_max }
}

/// Tells one reader that there is something to look at, without a system call while it is awake.
pub struct Bell {
    state: AtomicU8,
    waker: Arc<dyn Wake>,
}

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const MAIL: u8 = 2;

impl Bell {
    /// The bell of a reader that is awake, and that `waker` wakes when it sleeps.
    pub fn new(waker: Arc<dyn Wake>) -> Bell {
        Bell { state: AtomicU8::new(AWAKE), waker }
    }

    /// Lets the reader know. What it is to find must be in place already.
    #[inline]
    pub fn ring(&self) {
        if self.state.swap(MAIL, Ordering::AcqRel) == ASLEEP {
            self.waker.wake();
        }
    }

    /// Announces that the reader is about to sleep; `false` means that it was rung for instead.
    #[inline]
    pub fn fall_asleep(&self) -> bool {
        self.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Announces that the reader is awake, and says whether it was rung for. It must look at
    /// everything then.
    #[inline]
    pub fn wake_up(&self) -> bool {
        self.state.swap(AWAKE, Ordering::AcqRel) == MAIL
    }
}

impl Wake for Bell {
    fn wake(&self) {
        self.ring();
    }
}

/// The box, shared by its writers and its reader.
pub struct Mailbox<M> {
    list: Mutex<List<M>>,
    /// Mails that were ever posted; grows under the lock.
    posted: AtomicU64,
    bounds: Load,
    bell: Arc<Bell>,
}

struct List<M> {
    mails: VecDeque<M>,
    closed: bool,
    /// What was posted within the bounds, and is not handled yet.
    load: Load,
    /// How many of the mails must be handled in the reader's next turn: all up to the last one that
    /// is urgent.
    urgent: usize,
    /// Mails that found the box full, and whose writers do not wait, since the reader has asked.
    refused: u64,
    /// Writers that found the box full, each once, and are rung when there is room.
    waiting: Vec<Arc<Bell>>,
}

/// Why a mail was not taken. The mail itself does not come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// `Limits::mailbox_mails_max` mails, or `Limits::mailbox_bytes_max` bytes, wait already: the
    /// reactor is behind, try later.
    Full,
    /// The reactor has stopped for good.
    Stopped,
}

impl<M> Mailbox<M> {
    /// An empty box with these bounds, whose reader hears `bell`.
    pub fn new(bounds: Load, bell: Arc<Bell>) -> Mailbox<M> {
        let list = List {
            mails: VecDeque::new(),
            closed: false,
            load: Load::default(),
            urgent: 0,
            refused: 0,
            waiting: Vec::new(),
        };
        Mailbox { list: Mutex::new(list), posted: AtomicU64::new(0), bounds, bell }
    }

    /// The reader's bell.
    #[inline]
    pub fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Puts a mail that weighs so much into the box, and wakes the reader if it sleeps.
    ///
    /// # Errors
    /// The mail itself, and why it was not taken.
    pub fn post(&self, mail: M, load: Load) -> Result<(), (M, Refused)> {
        {
            let mut list = self.lock();
            if list.closed {
                return Err((mail, Refused::Stopped));
            }
            if list.load.reaches(self.bounds) {
                list.refused += 1;
                return Err((mail, Refused::Full));
            }
            list.load += load;
            self.push(&mut list, mail);
        }
        self.bell.ring();
        Ok(())
    }

    /// Like [`Mailbox::post`], also when the box is full: for a writer that can be held until there is
    /// room, and is by whoever posts. Says whether there is, for the next one.
    ///
    /// # Errors
    /// The mail itself, when the reactor has stopped.
    pub fn post_beyond(&self, mail: M, load: Load) -> Result<bool, M> {
        let has_room;
        {
            let mut list = self.lock();
            if list.closed {
                return Err(mail);
            }
            list.load += load;
            has_room = !list.load.reaches(self.bounds);
            self.push(&mut list, mail);
        }
        self.bell.ring();
        Ok(has_room)
    }

    /// Whether at most half of what the box holds is in it, or it was closed. If not, `writer` is rung
    /// when that is so.
    pub fn has_room(&self, writer: &Arc<Bell>) -> bool {
        let mut list = self.lock();
        let has_room = list.closed || list.load.is_within(self.bounds.half());
        if !has_room && !list.waiting.iter().any(|waits| Arc::ptr_eq(waits, writer)) {
            list.waiting.push(writer.clone());
        }
        has_room
    }

    /// Like [`Mailbox::post`], for mails that must get through to a reactor that is behind, and
    /// whose number is bounded elsewhere. They weigh nothing.
    ///
    /// # Errors
    /// The mail itself, when the reactor has stopped.
    #[inline(always)]
    pub fn post_always(&self, mail: M) -> Result<(), M> {
        {
            let mut list = self.lock();
            if list.closed {
                return Err(mail);
            }
            self.push(&mut list, mail);
        }
        self.bell.ring();
        Ok(())
    }

    /// Like [`Mailbox::post_always`]; the reader handles it, and all that came before it, in one turn.
    ///
    /// # Errors
    /// As [`Mailbox::post_always`].
    pub fn post_urgently(&self, mail: M) -> Result<(), M> {
        {
            let mut list = self.lock();
            if list.closed {
                return Err(mail);
            }
            self.push(&mut list, mail);
            list.urgent = list.mails.len();
        }
        self.bell.ring();
        Ok(())
    }

    #[inline(always)]
    fn push(&self, list: &mut List<M>, mail: M) {
        list.mails.push_back(mail);
        // Only under the lock, so nothing is lost between the two.
        self.posted.store(self.posted.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// How many mails were ever posted: at least all those of which this thread can know.
    #[inline]
    pub fn posted(&self) -> u64 {
        self.posted.load(Ordering::Acquire)
    }

    /// Moves the waiting mails into `inbox`, behind those that are in it. They count until they are
    /// [`Mailbox::handled`]. Says how many in `inbox`, from the first one on, there are up to the last
    /// one of them that is urgent; 0 if none of them is.
    pub fn take(&self, inbox: &mut VecDeque<M>) -> usize {
        let before = inbox.len();
        let mut list = self.lock();
        if inbox.is_empty() {
            std::mem::swap(&mut list.mails, inbox);
        } else {
            inbox.append(&mut list.mails);
        }
        match std::mem::take(&mut list.urgent) {
            0 => 0,
            urgent => before + urgent,
        }
    }

    /// The reader is done with mails that weighed so much. Says how many were refused since the last
    /// time.
    pub fn handled(&self, load: Load) -> u64 {
        let mut list = self.lock();
        list.load -= load;
        let refused = std::mem::take(&mut list.refused);
        if !list.waiting.is_empty() && list.load.is_within(self.bounds.half()) {
            let waiting = std::mem::take(&mut list.waiting);
            drop(list);
            waiting.iter().for_each(|writer| writer.ring());
        }
        refused
    }

    /// Refuses all mail from now on, and gives back what waits: a mail may own anything, also a
    /// handle on this box, and is dropped outside of the lock.
    pub fn close(&self) -> VecDeque<M> {
        let mut list = self.lock();
        list.closed = true;
        let waiting = std::mem::take(&mut list.waiting);
        let left = std::mem::take(&mut list.mails);
        drop(list);
        waiting.iter().for_each(|writer| writer.ring());
        left
    }

    /// No code runs under the lock that could leave the list half changed, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, List<M>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(not(loom))]
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

    const ONE: Load = Load { mails: 1, bytes: 0 };

    fn boxed(mails_max: usize) -> (Mailbox<u32>, Arc<Counter>) {
        let counter = Arc::new(Counter::default());
        let bell = Arc::new(Bell::new(counter.clone()));
        (Mailbox::new(Load { mails: mails_max, ..Load::MAX }, bell), counter)
    }

    #[test]
    fn only_the_first_post_to_a_sleeper_wakes_it() {
        let (mailbox, wakes) = boxed(10);
        mailbox.post(1, ONE).unwrap();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "the reader was awake");
        assert!(!mailbox.bell.fall_asleep(), "there was mail");
        assert!(mailbox.bell.wake_up());
        let mut inbox = VecDeque::new();
        mailbox.take(&mut inbox);
        assert!(mailbox.bell.fall_asleep());
        mailbox.post(2, ONE).unwrap();
        mailbox.post(3, ONE).unwrap();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        assert!(mailbox.bell.wake_up());
        inbox.clear();
        mailbox.take(&mut inbox);
        assert_eq!(inbox, [2, 3]);
    }

    #[test]
    fn a_full_box_gives_the_mail_back_and_a_stop_gets_through() {
        let (mailbox, _) = boxed(1);
        mailbox.post(1, ONE).unwrap();
        assert_eq!(mailbox.post(2, ONE), Err((2, Refused::Full)));
        mailbox.post_always(3).unwrap();
        mailbox.close();
        assert_eq!(mailbox.post_always(4), Err(4));
    }

    #[test]
    fn a_writer_that_found_the_box_full_is_rung_once_there_is_room() {
        let (mailbox, _) = boxed(1);
        let writers: Vec<_> = (0..2).map(|_| Arc::new(Counter::default())).collect();
        let bells: Vec<_> =
            writers.iter().map(|writer| Arc::new(Bell::new(writer.clone()))).collect();
        assert!(bells.iter().all(|bell| bell.fall_asleep()));
        let rung = || writers.iter().map(|writer| writer.0.load(Ordering::SeqCst)).sum::<usize>();
        assert_eq!(mailbox.post_beyond(1, ONE), Ok(false), "it is taken, and fills the box");
        assert!(!mailbox.has_room(&bells[0]));
        assert_eq!(rung(), 0);
        let mut inbox = VecDeque::new();
        mailbox.take(&mut inbox);
        assert_eq!(rung(), 0, "what was taken is not handled");
        mailbox.handled(ONE);
        assert_eq!(rung(), 1, "there is room");
        assert!(mailbox.has_room(&bells[0]));
        assert_eq!([2, 3].map(|mail| mailbox.post_beyond(mail, ONE)), [Ok(false); 2]);
        assert!(!mailbox.has_room(&bells[1]));
        mailbox.close();
        assert_eq!((mailbox.has_room(&bells[1]), mailbox.post_beyond(4, ONE)), (true, Err(4)));
        assert_eq!(rung(), 2, "there will never be room");
    }

    #[test]
    fn an_urgent_mail_hurries_those_before_it_and_none_behind_it() {
        let (mailbox, _) = boxed(10);
        let mut inbox = VecDeque::new();
        mailbox.post(1, ONE).unwrap();
        assert_eq!(mailbox.take(&mut inbox), 0);
        mailbox.post(2, ONE).unwrap();
        mailbox.post_urgently(3).unwrap();
        mailbox.post(4, ONE).unwrap();
        assert_eq!(mailbox.take(&mut inbox), 3);
        assert_eq!((mailbox.take(&mut inbox), inbox.len()), (0, 4), "it is told once");
        mailbox.close();
        assert_eq!(mailbox.post_urgently(5), Err(5));
    }

    #[test]
    fn a_box_is_full_of_mails_or_of_bytes_and_rings_when_half_of_both_is_left() {
        let counter = Arc::new(Counter::default());
        let bell = Arc::new(Bell::new(counter.clone()));
        let mailbox = Mailbox::new(Load { mails: 4, bytes: 100 }, bell.clone());
        let load = |bytes| Load { mails: 1, bytes };
        mailbox.post(1, load(99)).unwrap();
        mailbox.post(2, load(1000)).unwrap();
        assert_eq!(mailbox.post(3, load(0)), Err((3, Refused::Full)), "of bytes");
        assert!(!mailbox.has_room(&bell));
        assert!(bell.wake_up() && bell.fall_asleep());
        assert_eq!(mailbox.handled(load(99)), 1, "who waits was not refused");
        let rings = || counter.0.load(Ordering::SeqCst);
        assert_eq!((mailbox.handled(load(949)), rings()), (0, 0), "51 bytes are left");
        assert_eq!((mailbox.handled(Load { mails: 0, bytes: 1 }), rings()), (0, 1));
    }

    #[test]
    fn a_writer_that_tries_again_waits_once() {
        let (mailbox, _) = boxed(1);
        let bells: Vec<_> =
            (0..2).map(|_| Arc::new(Bell::new(Arc::new(Counter::default())))).collect();
        mailbox.post(1, ONE).unwrap();
        for bell in bells.iter().cycle().take(100) {
            assert!(!mailbox.has_room(bell));
        }
        assert_eq!(mailbox.lock().waiting.len(), 2);
    }

    #[test]
    fn every_post_of_many_threads_is_read_in_its_writers_order() {
        let (mailbox, _) = boxed(usize::MAX);
        let mut seen: Vec<u32> = Vec::new();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let mailbox = &mailbox;
                scope.spawn(move || {
                    (0..1000).for_each(|n| mailbox.post(writer * 1000 + n, ONE).unwrap())
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
