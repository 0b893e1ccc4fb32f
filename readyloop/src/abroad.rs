//! Orders for the sessions of other reactors, gathered during a turn: one mail for each reactor at
//! its end.
//!
//! If a reactor's mailbox is full, what is for it stays here, and whoever ordered it is not read
//! until it has left: the one that is behind pushes back on those who keep it busy, and on nobody
//! else. Nothing waits in place, so two reactors that flood each other go on reading their mail.
//!
//! Invariant: a session is in `held` exactly while it is a sender of some outbox, as often as it is
//! one.
//!
//! Thread contract: reactor-thread.

use std::collections::HashMap;

use crate::id::SessionId;
use crate::order::Order;

/// One reactor's outbox.
pub struct Abroad {
    boxes: Vec<Outbox>,
    /// Orders that are taken for a reactor while it is behind, at the most.
    orders_max: usize,
    waiting: usize,
    /// Sessions that are not read because of outboxes that could not be posted, and how many orders
    /// of each have not left. Only looked up: its order would be another one in each run.
    held: HashMap<SessionId, usize>,
}

#[derive(Default)]
struct Outbox {
    orders: Vec<Order>,
    /// The last post was refused for want of room.
    blocked: bool,
    /// How many orders were taken since then.
    late: usize,
    /// Who has ordered since then, once for each order.
    senders: Vec<SessionId>,
}

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
    /// The outbox of one of this many reactors. What handlers order in one turn is bounded by what
    /// is read in one; for a reactor that is behind, `orders_max` more are taken, and what is owed.
    pub fn new(reactors: usize, orders_max: usize) -> Abroad {
        let boxes = (0..reactors).map(|_| Outbox::default()).collect();
        Abroad { boxes, orders_max, waiting: 0, held: HashMap::new() }
    }

    /// Whether nothing waits to be posted.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Whether something waits that was not refused before: the end of this turn posts it.
    pub fn has_news(&self) -> bool {
        self.waiting > 0
            && self.boxes.iter().any(|outbox| !outbox.blocked && !outbox.orders.is_empty())
    }

    /// Puts an order of `by` into the box of its reactor. Who is told [`Taken::Later`] is among those
    /// whom [`Abroad::post`] lets go.
    pub fn push(&mut self, order: Order, by: SessionId) -> Taken {
        let Some(outbox) = self.boxes.get_mut(order.reactor() as usize) else { return Taken::No };
        if outbox.blocked && !order.is_owed() {
            if outbox.late >= self.orders_max {
                return Taken::No;
            }
            outbox.late += 1;
        }
        outbox.orders.push(order);
        self.waiting += 1;
        if !outbox.blocked {
            return Taken::Now;
        }
        if by != SessionId::NONE {
            outbox.senders.push(by);
            *self.held.entry(by).or_default() += 1;
        }
        Taken::Later
    }

    /// Posts what waits for each reactor, which gives it back if there is no room. Says who may be
    /// let go: whoever waited for nothing else.
    pub fn post(
        &mut self,
        mut post: impl FnMut(usize, Vec<Order>) -> Result<(), Vec<Order>>,
    ) -> Vec<SessionId> {
        let mut let_go = Vec::new();
        for (reactor, outbox) in self.boxes.iter_mut().enumerate() {
            if outbox.orders.is_empty() {
                continue;
            }
            let orders = std::mem::take(&mut outbox.orders);
            self.waiting -= orders.len();
            if let Err(orders) = post(reactor, orders) {
                self.waiting += orders.len();
                outbox.blocked = true;
                outbox.orders = orders;
                continue;
            }
            (outbox.blocked, outbox.late) = (false, 0);
            let senders = outbox.senders.drain(..);
            let_go.extend(senders.filter(|sender| has_left(&mut self.held, *sender)));
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

    fn close(reactor: u8) -> Order {
        Order::Close(SessionId::new(reactor, 7, 1))
    }

    #[test]
    fn each_reactor_gets_one_mail_a_turn() {
        let mut abroad = Abroad::new(3, 10);
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
        let mut abroad = Abroad::new(2, 1);
        let owed = || Order::Release(SessionId::new(1, 7, 1));
        assert_eq!(abroad.push(close(1), sender()), Taken::Now);
        assert_eq!(abroad.post(|_, orders| Err(orders)), []);
        assert_eq!(
            [abroad.push(close(1), sender()), abroad.push(close(1), sender())],
            [Taken::Later, Taken::No]
        );
        assert_eq!(
            [abroad.push(owed(), sender()), abroad.push(owed(), sender())],
            [Taken::Later; 2]
        );
        abroad.post(|_, orders| {
            assert_eq!(orders.len(), 4);
            Ok(())
        });
    }

    #[test]
    fn a_full_mailbox_pushes_back_until_all_of_it_has_left() {
        let mut abroad = Abroad::new(2, 1);
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
        let mut abroad = Abroad::new(4, 10);
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
