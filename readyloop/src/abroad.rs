//! Orders for the sessions of other reactors, gathered during a turn: one mail for each reactor at
//! its end, or several, if they are many.
//!
//! If a reactor's mailbox is full, what is for it stays here, and whoever ordered it is not read
//! until it has left: the one that is behind pushes back on those who keep it busy, and on nobody
//! else. Nothing waits in place, so two reactors that flood each other go on reading their mail.
//!
//! Invariant: a session is in `held` exactly while it is a sender of some letter, as often as it is
//! one.
//!
//! Thread contract: reactor-thread.

use std::collections::{HashMap, VecDeque};

use crate::id::SessionId;
use crate::limits::Limits;
use crate::order::{Load, Order, Orders};

/// One reactor's outboxes, one for each reactor that there is.
pub struct Abroad {
    boxes: Vec<Outbox>,
    /// What is taken for a reactor while it is behind, at the most.
    late_max: Load,
    /// How long a letter becomes, at the most, or by one order more.
    letter_max: Load,
    /// Letters that wait to be posted.
    waiting: usize,
    /// Sessions that are not read because of letters that could not be posted, and of how many
    /// orders each waits. Only looked up: its order would be another one in each run.
    held: HashMap<SessionId, usize>,
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

impl Abroad {
    /// The outboxes of one of this many reactors. What handlers order in one turn is bounded by what
    /// is read in one; for a reactor that is behind, as much more is taken as its mailbox holds, and
    /// what is owed.
    pub fn new(reactors: usize, limits: &Limits) -> Abroad {
        let late_max = Load { mails: limits.mailbox_mails_max, bytes: limits.mailbox_bytes_max };
        let letter_max = Load {
            mails: late_max.mails.min(LETTER_MAX.mails),
            bytes: late_max.bytes.min(LETTER_MAX.bytes),
        };
        let boxes = (0..reactors).map(|_| Outbox::default()).collect();
        Abroad { boxes, late_max, letter_max, waiting: 0, held: HashMap::new() }
    }

    /// Whether nothing waits to be posted.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Whether something waits that was not refused before: the end of this turn posts it.
    pub fn has_news(&self) -> bool {
        self.waiting > 0
            && self.boxes.iter().any(|outbox| !outbox.blocked && !outbox.letters.is_empty())
    }

    /// Puts an order of `by` into the box of its reactor. Who is told [`Taken::Later`] is among those
    /// whom [`Abroad::post`] lets go.
    pub fn push(&mut self, order: Order, by: SessionId) -> Taken {
        let Some(outbox) = self.boxes.get_mut(order.reactor() as usize) else { return Taken::No };
        if outbox.blocked && !order.is_owed() && outbox.late.reaches(self.late_max) {
            return Taken::No;
        }
        let letter_max = self.letter_max;
        let is_open = |letter: &Letter| !letter.orders.load().reaches(letter_max);
        if !outbox.letters.back().is_some_and(is_open) {
            outbox.letters.push_back(Letter::default());
            self.waiting += 1;
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

    /// Posts what waits for each reactor, which gives it back if there is no room. Says who may be
    /// let go: whoever waited for nothing else.
    pub fn post(
        &mut self,
        mut post: impl FnMut(usize, Orders) -> Result<(), Orders>,
    ) -> Vec<SessionId> {
        let mut let_go = Vec::new();
        for (reactor, outbox) in self.boxes.iter_mut().enumerate() {
            outbox.blocked = false;
            while let Some(mut letter) = outbox.letters.pop_front() {
                if let Err(orders) = post(reactor, letter.orders) {
                    letter.orders = orders;
                    outbox.letters.push_front(letter);
                    outbox.blocked = true;
                    break;
                }
                self.waiting -= 1;
                outbox.late -= letter.late;
                let senders = letter.senders.into_iter();
                let_go.extend(senders.filter(|sender| has_left(&mut self.held, *sender)));
            }
        }
        let_go
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

    fn sender() -> SessionId {
        SessionId::new(0, 1, 1)
    }

    fn abroad(reactors: usize, mailbox_mails_max: usize) -> Abroad {
        Abroad::new(reactors, &Limits { mailbox_mails_max, ..Limits::default() })
    }

    fn close(reactor: u8) -> Order {
        Order::Close(SessionId::new(reactor, 7, 1))
    }

    #[test]
    fn each_reactor_gets_one_mail_a_turn() {
        let mut abroad = abroad(3, 10);
        assert!(abroad.is_empty());
        assert_eq!([0, 2, 2].map(|at| abroad.push(close(at), sender())), [Taken::Now; 3]);
        assert_eq!(abroad.push(close(3), sender()), Taken::No, "there is no such reactor");
        let mut posted = Vec::new();
        abroad.post(|reactor, orders| {
            posted.push((reactor, orders.len()));
            Ok(())
        });
        assert_eq!(posted, [(0, 1), (2, 2)]);
        assert!(abroad.is_empty() && !abroad.has_news());
    }

    #[test]
    fn what_is_owed_is_taken_however_far_behind_a_reactor_is() {
        let mut abroad = abroad(2, 1);
        let owed = || Order::Release(SessionId::new(1, 7, 1));
        assert_eq!(abroad.push(close(1), sender()), Taken::Now);
        assert_eq!(abroad.post(|_, orders| Err(orders)), []);
        assert_eq!(
            [abroad.push(close(1), sender()), abroad.push(close(1), sender())],
            [Taken::Later, Taken::No]
        );
        assert_eq!([0; 2].map(|_| abroad.push(owed(), sender())), [Taken::Later; 2]);
        let mut posted = 0;
        abroad.post(|_, orders| {
            posted += orders.len();
            Ok(())
        });
        assert_eq!(posted, 4);
    }

    #[test]
    fn many_orders_leave_in_letters_of_a_bounded_size_in_their_order() {
        let mut abroad = abroad(2, 1_000_000);
        let send = |n: u32| Order::Send(SessionId::new(1, n, 1), vec![7; 1000].into());
        (0..200).for_each(|n| assert_eq!(abroad.push(send(n), sender()), Taken::Now));
        let mut seen = Vec::new();
        // The reactor takes two letters now, and all of them later.
        for mut room in [2, usize::MAX] {
            let let_go = abroad.post(|_, mut orders| {
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
        assert!(abroad.is_empty() && seen.into_iter().eq(0..200));
    }

    #[test]
    fn a_sender_is_let_go_when_its_own_orders_have_left_and_others_still_wait() {
        let mut abroad = abroad(2, 1);
        let ids = [1, 2].map(|index| SessionId::new(0, index, 1));
        assert_eq!(abroad.push(close(1), sender()), Taken::Now);
        assert_eq!(abroad.post(|_, orders| Err(orders)), []);
        // Owed, so that a bound of one does not matter here.
        for id in ids {
            assert_eq!(abroad.push(Order::Release(SessionId::new(1, 7, 1)), id), Taken::Later);
        }
        let mut room = 2;
        let let_go = abroad.post(|_, orders| {
            room -= 1;
            if room < 0 { Err(orders) } else { Ok(()) }
        });
        assert_eq!(let_go, [ids[0]]);
        assert_eq!(abroad.post(|_, _| Ok(())), [ids[1]]);
    }

    #[test]
    fn a_full_mailbox_pushes_back_until_all_of_it_has_left() {
        let mut abroad = abroad(2, 1);
        assert_eq!(abroad.push(close(1), sender()), Taken::Now);
        assert_eq!(abroad.post(|_, orders| Err(orders)), []);
        assert!(!abroad.has_news(), "nothing is to be done before there is room");
        assert_eq!(abroad.push(close(1), sender()), Taken::Later);
        assert_eq!(abroad.push(close(1), sender()), Taken::No, "there is a bound");
        assert_eq!(abroad.push(close(0), sender()), Taken::Now, "others are not pushed back");
        assert_eq!(abroad.post(|at, orders| if at == 1 { Err(orders) } else { Ok(()) }), []);
        assert_eq!(abroad.post(|_, _| Ok(())), [sender()]);
        assert!(abroad.is_empty());
    }

    #[test]
    fn a_sender_waits_for_the_reactors_that_it_sent_to_and_for_no_other() {
        let mut abroad = abroad(4, 10);
        let ids = [1, 2, 3].map(|index| SessionId::new(0, index, 1));
        (1..4).for_each(|at| assert_eq!(abroad.push(close(at), ids[0]), Taken::Now));
        assert_eq!(abroad.post(|_, orders| Err(orders)), []);
        for (by, at) in [(0, 1), (0, 1), (1, 2), (2, 1), (2, 2)] {
            assert_eq!(abroad.push(close(at), ids[by]), Taken::Later);
        }
        let mut post =
            |open: usize| abroad.post(|at, orders| if at == open { Ok(()) } else { Err(orders) });
        assert_eq!(post(3), [], "nobody waits for it");
        assert_eq!(post(1), [ids[0]], "one waits for another one too, and one for another only");
        assert_eq!(post(2), [ids[1], ids[2]]);
        assert!(abroad.is_empty() && abroad.held.is_empty());
    }
}
