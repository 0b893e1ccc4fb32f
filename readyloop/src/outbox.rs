//! Commands for the sessions of other reactors, gathered during a turn: one mail for each reactor at
//! its end, or several, if they are many.
//!
//! If a reactor's inbox is full, what is for it stays here, and whoever asked for it is not read
//! until it has left: the one that is behind pushes back on those who keep it busy, and on nobody
//! else. Nothing waits in place, so two reactors that flood each other go on reading their mail.
//!
//! There is one for the reactor's own sessions too. It is used as long as something that a `Remote` has
//! posted on this thread waits in the reactor's own inbox: what callbacks ask for then *follows* it, and
//! does not overtake it.
//!
//! Invariant: a session is in `held` exactly while it is a sender of some letter, as often as it is
//! one.
//!
//! Thread contract: reactor-thread.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};

use crate::id::SessionId;
use crate::limits::Limits;
use crate::order::{Load, Order, Orders};

/// One reactor's outboxes, one for each reactor that there is. The reactor's callbacks and their
/// `Remote`s have them in common.
pub struct Outboxes {
    boxes: RefCell<Boxes>,
    /// Letters that wait to be posted.
    waiting: Cell<usize>,
    /// The number of the reactor.
    own: usize,
    follows: Cell<Follows>,
}

/// Whether commands for the reactor's own sessions go by its inbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Follows {
    /// They are done in place.
    No,
    /// They do, and something was posted since the reactor has last asked to be told when it has caught
    /// up.
    Posted,
    /// They do until it has.
    Asked,
}

struct Boxes {
    boxes: Vec<Outbox>,
    /// What is taken for a reactor while it is behind, at the most.
    late_max: Load,
    /// How long a letter becomes, at the most, or by one order more.
    letter_max: Load,
    /// Sessions that are not read because of letters that could not be posted, and of how many
    /// orders each waits. Only looked up: its order would be another one in each run.
    held: HashMap<SessionId, usize>,
    /// Those that need not wait any longer, and do not know.
    let_go: Vec<SessionId>,
}

#[derive(Default)]
struct Outbox {
    letters: VecDeque<Letter>,
    /// The last post was refused for want of room.
    blocked: bool,
    /// What was taken since then, and has not left.
    late: Load,
}

/// What is posted at once.
#[derive(Default)]
struct Letter {
    orders: Orders,
    late: Load,
    /// Who has ordered while the outbox was blocked, once for each order.
    senders: Vec<SessionId>,
}

/// The longest letter, so that a mailbox is not filled far beyond its bounds by one.
const LETTER_MAX: Load = Load { mails: 1024, bytes: 64 << 10 };

/// What became of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It leaves at the end of the turn.
    Now,
    /// It leaves when there is room; who ordered it must not be read until then.
    Later,
    /// There is no such reactor, or too much waits for one that is behind.
    No,
}

impl Outboxes {
    /// The outboxes of the reactor with the number `own`, one of this many. What handlers order in one
    /// turn is bounded by what is read in one; for a reactor that is behind, as much more is taken as
    /// its inbox holds, and what is owed.
    pub fn new(own: usize, reactors: usize, limits: &Limits) -> Outboxes {
        let late_max = Load { mails: limits.mailbox_mails_max, bytes: limits.mailbox_bytes_max };
        let letter_max = Load {
            mails: late_max.mails.min(LETTER_MAX.mails),
            bytes: late_max.bytes.min(LETTER_MAX.bytes),
        };
        let boxes = Boxes {
            boxes: (0..reactors).map(|_| Outbox::default()).collect(),
            late_max,
            letter_max,
            held: HashMap::new(),
            let_go: Vec::new(),
        };
        let (waiting, follows) = (Cell::new(0), Cell::new(Follows::No));
        Outboxes { boxes: RefCell::new(boxes), waiting, own, follows }
    }

    /// Whether nothing is to be posted, or to be asked.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.get() == 0 && self.follows.get() != Follows::Posted
    }

    /// Whether something waits that was not refused before: the end of this turn posts it.
    pub fn has_news(&self) -> bool {
        !self.is_empty()
            && (self.follows.get() == Follows::Posted || self.boxes.borrow().has_news())
    }

    /// Whether commands for the reactor's own sessions go by its inbox.
    #[inline(always)]
    pub fn follows(&self) -> bool {
        self.follows.get() != Follows::No
    }

    /// Does something that came by the inbox itself: what it wants done is done in place, in front of all
    /// that follows, unless it posts in turn.
    pub fn in_front<R>(&self, act: impl FnOnce() -> R) -> R {
        let before = self.follows.replace(Follows::No);
        let done = act();
        if self.follows.get() == Follows::No {
            self.follows.set(before);
        }
        done
    }

    /// A `Remote` has posted on this thread to the reactor's own inbox.
    pub fn follow(&self) {
        self.follows.set(Follows::Posted);
    }

    /// Everything for the own inbox is posted: whether the reactor should now send itself word, so that
    /// it hears when all of that is done.
    pub fn asks(&self) -> bool {
        let asks = self.follows.get() == Follows::Posted
            && self.boxes.borrow().boxes[self.own].letters.is_empty();
        if asks {
            self.follows.set(Follows::Asked);
        }
        asks
    }

    /// The reactor has word from itself. `true` if nothing was posted behind it: from now on commands
    /// are done in place.
    pub fn has_caught_up(&self) -> bool {
        let caught_up = self.follows.get() == Follows::Asked;
        if caught_up {
            self.follows.set(Follows::No);
        }
        caught_up
    }

    /// Puts an order of `by` into the box of a reactor. Who is told [`Taken::Later`] is among those
    /// whom [`Outboxes::take_let_go`] names later.
    pub fn push(&self, reactor: usize, order: Order, by: SessionId) -> Taken {
        if reactor == self.own {
            self.follow();
        }
        self.boxes.borrow_mut().push(reactor, order, by, &self.waiting)
    }

    /// Posts what waits for each reactor, or for this one only; the reactor gives it back if there is
    /// no room. `false` if something was.
    pub fn post(
        &self,
        only: Option<usize>,
        mut post: impl FnMut(usize, Orders) -> Result<(), Orders>,
    ) -> bool {
        // It is in use only if bytes that are dropped in here run code of the user's that posts.
        let Ok(mut boxes) = self.boxes.try_borrow_mut() else { return true };
        let mut posted = true;
        let numbers = only.map_or(0..boxes.boxes.len(), |nth| nth..nth + 1);
        for reactor in numbers {
            posted &= boxes.post(reactor, &self.waiting, |orders| post(reactor, orders));
        }
        posted
    }

    /// Those who were held for what they had ordered, and wait for nothing any more.
    pub fn take_let_go(&self) -> Vec<SessionId> {
        std::mem::take(&mut self.boxes.borrow_mut().let_go)
    }
}

impl Boxes {
    fn has_news(&self) -> bool {
        self.boxes.iter().any(|outbox| !outbox.blocked && !outbox.letters.is_empty())
    }

    fn push(
        &mut self,
        reactor: usize,
        order: Order,
        by: SessionId,
        waiting: &Cell<usize>,
    ) -> Taken {
        let Some(outbox) = self.boxes.get_mut(reactor) else { return Taken::No };
        if outbox.blocked && !order.is_owed() && outbox.late.reaches(self.late_max) {
            return Taken::No;
        }
        let letter_max = self.letter_max;
        let is_open = |letter: &Letter| !letter.orders.load().reaches(letter_max);
        if !outbox.letters.back().is_some_and(is_open) {
            outbox.letters.push_back(Letter::default());
            waiting.set(waiting.get() + 1);
        }
        let Some(letter) = outbox.letters.back_mut() else { return Taken::No };
        let owed = order.is_owed();
        let load = letter.orders.push(order);
        if !outbox.blocked {
            return Taken::Now;
        }
        if !owed {
            letter.late += load;
            outbox.late += load;
        }
        if by != SessionId::NONE {
            letter.senders.push(by);
            *self.held.entry(by).or_default() += 1;
        }
        Taken::Later
    }

    /// Posts what waits for this reactor; `false` if it gave something back.
    fn post(
        &mut self,
        reactor: usize,
        waiting: &Cell<usize>,
        mut post: impl FnMut(Orders) -> Result<(), Orders>,
    ) -> bool {
        let Some(outbox) = self.boxes.get_mut(reactor) else { return true };
        outbox.blocked = false;
        while let Some(mut letter) = outbox.letters.pop_front() {
            if let Err(orders) = post(letter.orders) {
                letter.orders = orders;
                outbox.letters.push_front(letter);
                outbox.blocked = true;
                return false;
            }
            waiting.set(waiting.get() - 1);
            outbox.late -= letter.late;
            let senders = letter.senders.into_iter();
            self.let_go.extend(senders.filter(|sender| has_left(&mut self.held, *sender)));
        }
        true
    }
}

/// One more order of a sender that was held has left; whether it was the last one.
fn has_left(held: &mut HashMap<SessionId, usize>, sender: SessionId) -> bool {
    let Some(orders) = held.get_mut(&sender) else { return false };
    *orders -= 1;
    let is_last = *orders == 0;
    if is_last {
        held.remove(&sender);
    }
    is_last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::CloseReason;

    fn sender() -> SessionId {
        SessionId::new(0, 1, 1)
    }

    /// Those of one more reactor than these.
    fn outboxes(reactors: usize, mailbox_mails_max: usize) -> Outboxes {
        Outboxes::new(reactors, reactors + 1, &Limits { mailbox_mails_max, ..Limits::default() })
    }

    fn push(outboxes: &Outboxes, order: Order, by: SessionId) -> Taken {
        outboxes.push(order.reactor() as usize, order, by)
    }

    /// Posts to all, and says who is let go.
    fn post(
        outboxes: &Outboxes,
        post: impl FnMut(usize, Orders) -> Result<(), Orders>,
    ) -> Vec<SessionId> {
        outboxes.post(None, post);
        outboxes.take_let_go()
    }

    fn close(reactor: u8) -> Order {
        Order::Close(SessionId::new(reactor, 7, 1), CloseReason::Closed)
    }

    #[test]
    fn each_reactor_gets_one_mail_a_turn() {
        let outboxes = outboxes(3, 10);
        assert!(outboxes.is_empty());
        assert_eq!([0, 2, 2].map(|at| push(&outboxes, close(at), sender())), [Taken::Now; 3]);
        assert_eq!(push(&outboxes, close(4), sender()), Taken::No, "there is no such reactor");
        let mut posted = Vec::new();
        post(&outboxes, |reactor, orders| {
            posted.push((reactor, orders.len()));
            Ok(())
        });
        assert_eq!(posted, [(0, 1), (2, 2)]);
        assert!(outboxes.is_empty() && !outboxes.has_news());
    }

    #[test]
    fn what_is_owed_is_taken_however_far_behind_a_reactor_is() {
        let outboxes = outboxes(2, 1);
        let owed = || Order::Release(SessionId::new(1, 7, 1));
        assert_eq!(push(&outboxes, close(1), sender()), Taken::Now);
        assert_eq!(post(&outboxes, |_, orders| Err(orders)), []);
        assert_eq!(
            [push(&outboxes, close(1), sender()), push(&outboxes, close(1), sender())],
            [Taken::Later, Taken::No]
        );
        assert_eq!([0; 2].map(|_| push(&outboxes, owed(), sender())), [Taken::Later; 2]);
        let mut posted = 0;
        post(&outboxes, |_, orders| {
            posted += orders.len();
            Ok(())
        });
        assert_eq!(posted, 4);
    }

    #[test]
    fn many_orders_leave_in_letters_of_a_bounded_size_in_their_order() {
        let outboxes = outboxes(2, 1_000_000);
        let send = |n: u32| Order::Send(SessionId::new(1, n, 1), vec![7; 1000].into());
        (0..200).for_each(|n| assert_eq!(push(&outboxes, send(n), sender()), Taken::Now));
        let mut seen = Vec::new();
        // The reactor takes two letters now, and all of them later.
        for mut room in [2, usize::MAX] {
            let let_go = post(&outboxes, |_, mut orders| {
                if room == 0 {
                    return Err(orders);
                }
                room -= 1;
                assert!(orders.load().bytes < LETTER_MAX.bytes + 1064);
                while let Some(Order::Send(id, _)) = orders.pop() {
                    seen.push(id.index());
                }
                Ok(())
            });
            assert_eq!(let_go, [], "who has ordered in time is not held");
        }
        assert!(outboxes.is_empty() && seen.into_iter().eq(0..200));
    }

    #[test]
    fn a_sender_is_let_go_when_its_own_orders_have_left_and_others_still_wait() {
        let outboxes = outboxes(2, 1);
        let ids = [1, 2].map(|index| SessionId::new(0, index, 1));
        assert_eq!(push(&outboxes, close(1), sender()), Taken::Now);
        assert_eq!(post(&outboxes, |_, orders| Err(orders)), []);
        // Owed, so that a bound of one does not matter here.
        for id in ids {
            assert_eq!(push(&outboxes, Order::Release(SessionId::new(1, 7, 1)), id), Taken::Later);
        }
        let mut room = 2;
        let let_go = post(&outboxes, |_, orders| {
            room -= 1;
            if room < 0 { Err(orders) } else { Ok(()) }
        });
        assert_eq!(let_go, [ids[0]]);
        assert_eq!(post(&outboxes, |_, _| Ok(())), [ids[1]]);
    }

    #[test]
    fn a_full_mailbox_pushes_back_until_all_of_it_has_left() {
        let outboxes = outboxes(2, 1);
        assert_eq!(push(&outboxes, close(1), sender()), Taken::Now);
        assert_eq!(post(&outboxes, |_, orders| Err(orders)), []);
        assert!(!outboxes.has_news(), "nothing is to be done before there is room");
        assert_eq!(push(&outboxes, close(1), sender()), Taken::Later);
        assert_eq!(push(&outboxes, close(1), sender()), Taken::No, "there is a bound");
        assert_eq!(push(&outboxes, close(0), sender()), Taken::Now, "others are not pushed back");
        assert_eq!(post(&outboxes, |at, orders| if at == 1 { Err(orders) } else { Ok(()) }), []);
        assert_eq!(post(&outboxes, |_, _| Ok(())), [sender()]);
        assert!(outboxes.is_empty());
    }

    #[test]
    fn a_sender_waits_for_the_reactors_that_it_sent_to_and_for_no_other() {
        let outboxes = outboxes(4, 10);
        let ids = [1, 2, 3].map(|index| SessionId::new(0, index, 1));
        (1..4).for_each(|at| assert_eq!(push(&outboxes, close(at), ids[0]), Taken::Now));
        assert_eq!(post(&outboxes, |_, orders| Err(orders)), []);
        for (by, at) in [(0, 1), (0, 1), (1, 2), (2, 1), (2, 2)] {
            assert_eq!(push(&outboxes, close(at), ids[by]), Taken::Later);
        }
        let post_to = |open: usize| {
            post(&outboxes, |at, orders| if at == open { Ok(()) } else { Err(orders) })
        };
        assert_eq!(post_to(3), [], "nobody waits for it");
        assert_eq!(post_to(1), [ids[0]], "one waits for another one too, and one for another only");
        assert_eq!(post_to(2), [ids[1], ids[2]]);
        assert!(outboxes.is_empty() && outboxes.boxes.borrow().held.is_empty());
    }

    #[test]
    fn commands_follow_what_was_posted_until_word_of_it_comes_back() {
        let outboxes = outboxes(2, 10);
        assert!(!outboxes.follows() && !outboxes.asks() && !outboxes.has_caught_up());
        outboxes.follow();
        assert!(outboxes.has_news() && outboxes.asks() && !outboxes.asks(), "asked once");
        assert_eq!(push(&outboxes, close(2), sender()), Taken::Now);
        assert!(!outboxes.has_caught_up(), "something came behind the question");
        assert!(!outboxes.asks(), "it is not posted yet");
        assert_eq!(post(&outboxes, |_, _| Ok(())), []);
        assert!(outboxes.asks() && outboxes.follows());
        assert!(outboxes.has_caught_up() && !outboxes.follows() && outboxes.is_empty());
    }
}
