//! Commands for the sessions of other reactors, gathered during a turn: one mail for each reactor at
//! its end, or several, if they are many.
//!
//! What one callback asks for is always taken, also by a reactor whose inbox has no room. Whoever has
//! asked it is then *held*: not read until half of that inbox is handled, so the one that is behind pushes
//! back on those who keep it busy, and on nobody else. Nothing waits in place, so two reactors that flood
//! each other go on reading their mail. Who is held already, and goes on asking (its timers go on), is
//! bounded by what a mailbox holds; so are all together who cannot be held, because they are no sessions.
//!
//! There is one for the reactor's own sessions too. It is used as long as something that a `Remote` has
//! posted on this thread waits in the reactor's own inbox: what callbacks ask for then *follows* it, and
//! does not overtake it.
//!
//! Thread contract: reactor-thread.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::command::{Command, Commands};
use crate::id::SessionId;
use crate::limits::Limits;
use crate::load::Load;
use crate::mailbox::inbox_bounds;
use crate::serving::Serving;

/// One reactor's outboxes, one for each reactor that there is. The reactor's callbacks and their
/// `Remote`s have them in common.
pub struct Outboxes {
    boxes: RefCell<Boxes>,
    /// Letters that wait to be posted, and inboxes without room.
    waiting: Cell<usize>,
    /// The number of the reactor.
    own: usize,
    follows: Cell<Follows>,
    /// How often the reactor has asked to be told that.
    asked: Cell<u64>,
    serving: Rc<Serving>,
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
    /// What an inbox holds.
    bounds: Load,
    /// How long a letter becomes, at the most, or by one order more.
    letter_max: Load,
    /// Who has asked something of inboxes without room, and is not read until they have some.
    held: BTreeMap<SessionId, Held>,
    /// Those of them that do not know.
    to_hold: Vec<SessionId>,
    /// Bytes that were sent by a `Remote` to the session whose callback has used it.
    to_itself: Vec<(SessionId, usize)>,
}

#[derive(Default)]
struct Outbox {
    letters: VecDeque<Commands>,
    /// What they weigh.
    gathered: Load,
    /// The reactor's inbox has no room, or will have none when this is posted.
    full: bool,
}

/// Who waits for room.
#[derive(Default)]
struct Held {
    /// In whose inboxes.
    reactors: Vec<usize>,
    /// What it has asked for since.
    late: Load,
}

/// The longest letter, so that a mailbox is not filled far beyond its bounds by one.
const LETTER_MAX: Load = Load { mails: 1024, bytes: 64 << 10 };

/// What became of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It leaves at the end of the turn.
    Now,
    /// Likewise; who asked for it must not be read until there is room.
    Held,
    /// There is no such reactor, or who is held has asked too much.
    No,
}

/// The reactors' inboxes, as outboxes see them.
pub trait Posts {
    /// Posts commands to a reactor. Says whether its inbox has room for more; it does if nobody reads it any
    /// more.
    fn post(&self, reactor: usize, commands: Commands) -> bool;

    /// Whether half of a reactor's inbox is free; if not, this reactor is rung when it is.
    fn has_room(&self, reactor: usize) -> bool;
}

impl Outboxes {
    /// The outboxes of the reactor with the number `own`, one of this many.
    pub fn new(own: usize, reactors: usize, serving: Rc<Serving>, limits: &Limits) -> Outboxes {
        let bounds = inbox_bounds(limits);
        let letter_max = Load {
            mails: bounds.mails.min(LETTER_MAX.mails),
            bytes: bounds.bytes.min(LETTER_MAX.bytes),
        };
        let boxes = Boxes {
            boxes: (0..reactors).map(|_| Outbox::default()).collect(),
            bounds,
            letter_max,
            held: BTreeMap::new(),
            to_hold: Vec::new(),
            to_itself: Vec::new(),
        };
        Outboxes {
            boxes: RefCell::new(boxes),
            waiting: Cell::new(0),
            own,
            follows: Cell::new(Follows::No),
            asked: Cell::new(0),
            serving,
        }
    }

    /// Whether nothing is to be posted, or to be asked.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.get() == 0 && self.follows.get() != Follows::Posted
    }

    /// Whether something waits to be posted: the end of this turn does.
    pub fn has_news(&self) -> bool {
        !self.is_empty()
            && (self.follows.get() == Follows::Posted || self.boxes.borrow().has_letters())
    }

    /// Whether commands for the reactor's own sessions go by its inbox. Nobody writes on the page then.
    #[inline(always)]
    pub fn follows(&self) -> bool {
        self.follows.get() != Follows::No
    }

    fn set_follows(&self, follows: Follows) {
        self.follows.set(follows);
        self.serving.allow_writing(follows == Follows::No);
    }

    /// Does something that came by the inbox itself: what it wants done is done in place, in front of all
    /// that follows, unless it posts in turn.
    pub fn in_front<R>(&self, act: impl FnOnce() -> R) -> R {
        let before = self.follows.get();
        self.set_follows(Follows::No);
        let done = act();
        if self.follows.get() == Follows::No {
            self.set_follows(before);
        }
        done
    }

    /// A `Remote` has posted on this thread to the reactor's own inbox.
    pub fn follow(&self) {
        self.set_follows(Follows::Posted);
    }

    /// Everything for the own inbox is posted: the number of the word that the reactor should now send
    /// itself, so that it hears when all of that is done; if it should.
    pub fn asks(&self) -> Option<u64> {
        let asks = self.follows.get() == Follows::Posted
            && self.boxes.borrow().boxes[self.own].letters.is_empty();
        asks.then(|| {
            self.set_follows(Follows::Asked);
            self.asked.set(self.next_word());
            self.asked.get()
        })
    }

    /// The number of the word behind which all will be done that is posted now.
    pub fn next_word(&self) -> u64 {
        self.asked.get() + 1
    }

    /// The reactor has this word from itself. If nothing was posted behind it, commands are done in place
    /// from now on.
    pub fn has_heard(&self, word: u64) {
        if self.follows.get() == Follows::Asked && word == self.asked.get() {
            self.set_follows(Follows::No);
        }
    }

    /// Puts a command of `by` into the box of a reactor.
    pub fn push(&self, reactor: usize, command: Command, by: SessionId) -> Taken {
        let taken = match command.is_owed() {
            true => Taken::Now,
            false => self.boxes.borrow_mut().admit(reactor, command.load(), by),
        };
        if taken != Taken::No {
            self.put(reactor, command);
        }
        taken
    }

    /// Puts a command of a session of this reactor, for itself, into the own box: it is bounded by the
    /// session's send queue.
    pub fn push_own(&self, command: Command) {
        self.put(self.own, command);
    }

    fn put(&self, reactor: usize, command: Command) {
        if reactor == self.own {
            self.follow();
        }
        self.boxes.borrow_mut().put(reactor, command, &self.waiting);
    }

    /// Whether something that weighs so much, asked for by who is served, may be posted to an inbox,
    /// whether it has room or not.
    pub fn admits(&self, reactor: usize, load: Load) -> bool {
        let by = self.serving.served();
        let Ok(mut boxes) = self.boxes.try_borrow_mut() else { return true };
        match boxes.admit(reactor, load, by) {
            Taken::Now => true,
            Taken::Held => {
                self.hold(&mut boxes, by);
                true
            }
            Taken::No => false,
        }
    }

    /// What was just posted for who is served, and weighs so much, has left no room.
    pub fn is_full(&self, reactor: usize, load: Load) {
        let by = self.serving.served();
        let Ok(mut boxes) = self.boxes.try_borrow_mut() else { return };
        boxes.set_full(reactor, &self.waiting);
        if boxes.admit(reactor, load, by) == Taken::Held {
            self.hold(&mut boxes, by);
        }
    }

    /// Whether it is this session that is served.
    pub fn serves(&self, id: SessionId) -> bool {
        id == self.serving.served()
    }

    /// So many bytes are on their way by the own inbox to the session that is served: they count as its
    /// answers.
    pub fn sends(&self, answer: Option<(SessionId, usize)>) {
        if let Some((id, bytes)) = answer
            && let Ok(mut boxes) = self.boxes.try_borrow_mut()
        {
            boxes.to_itself.push((id, bytes));
            self.serving.disturb();
        }
    }

    /// What `id` has sent to itself, and nobody was told.
    pub fn sent_to_itself(&self, id: SessionId) -> usize {
        let boxes = self.boxes.borrow();
        boxes.to_itself.iter().filter(|(one, _)| *one == id).map(|(_, bytes)| bytes).sum()
    }

    /// Who has sent so many bytes to itself, and nobody was told.
    pub fn take_to_itself(&self) -> Vec<(SessionId, usize)> {
        std::mem::take(&mut self.boxes.borrow_mut().to_itself)
    }

    /// It is held when the reactor is next asked whether it reads.
    fn hold(&self, boxes: &mut Boxes, by: SessionId) {
        boxes.to_hold.push(by);
        self.serving.disturb();
    }

    /// `id` is not to be read before there is room in a reactor's inbox, for which is looked at the turn's
    /// end.
    pub fn wait_for(&self, reactor: usize, id: SessionId) {
        let mut boxes = self.boxes.borrow_mut();
        boxes.set_full(reactor, &self.waiting);
        boxes.admit(reactor, Load::default(), id);
    }

    /// Posts what waits for each reactor, or for this one only.
    pub fn post(&self, only: Option<usize>, posts: &impl Posts) {
        // It is in use only if bytes that are dropped in here run code of the user's that posts.
        let Ok(mut boxes) = self.boxes.try_borrow_mut() else { return };
        match only {
            Some(reactor) => boxes.post(reactor, &self.waiting, posts),
            None => {
                (0..boxes.boxes.len()).for_each(|reactor| boxes.post(reactor, &self.waiting, posts))
            }
        }
    }

    /// Those who are held, and do not know.
    pub fn take_to_hold(&self) -> Vec<SessionId> {
        std::mem::take(&mut self.boxes.borrow_mut().to_hold)
    }

    /// Looks for room in the inboxes that had none. Says who waits for nothing any more.
    pub fn take_let_go(&self, posts: &impl Posts) -> Vec<SessionId> {
        self.boxes.borrow_mut().take_let_go(&self.waiting, posts)
    }
}

impl Boxes {
    fn has_letters(&self) -> bool {
        self.boxes.iter().any(|outbox| !outbox.letters.is_empty())
    }

    /// Whether `by` may ask so much of a reactor, and whether it is held for it.
    fn admit(&mut self, reactor: usize, load: Load, by: SessionId) -> Taken {
        match self.boxes.get(reactor) {
            None => return Taken::No,
            Some(Outbox { full: false, .. }) => return Taken::Now,
            Some(_) => {}
        }
        let held = self.held.entry(by).or_default();
        if held.late.reaches(self.bounds) {
            return Taken::No;
        }
        held.late += load;
        if !held.reactors.contains(&reactor) {
            held.reactors.push(reactor);
        }
        Taken::Held
    }

    fn put(&mut self, reactor: usize, command: Command, waiting: &Cell<usize>) {
        let Some(outbox) = self.boxes.get_mut(reactor) else { return };
        let letter_max = self.letter_max;
        let is_open = |letter: &Commands| !letter.load().reaches(letter_max);
        if !outbox.letters.back().is_some_and(is_open) {
            outbox.letters.push_back(Commands::default());
            waiting.set(waiting.get() + 1);
        }
        let Some(letter) = outbox.letters.back_mut() else { return };
        outbox.gathered += letter.push(command);
        if outbox.gathered.reaches(self.bounds) {
            self.set_full(reactor, waiting);
        }
    }

    fn set_full(&mut self, reactor: usize, waiting: &Cell<usize>) {
        if let Some(outbox) = self.boxes.get_mut(reactor)
            && !std::mem::replace(&mut outbox.full, true)
        {
            waiting.set(waiting.get() + 1);
        }
    }

    fn post(&mut self, reactor: usize, waiting: &Cell<usize>, posts: &impl Posts) {
        let Some(outbox) = self.boxes.get_mut(reactor) else { return };
        outbox.gathered = Load::default();
        let mut has_room = true;
        for letter in outbox.letters.drain(..) {
            waiting.set(waiting.get() - 1);
            has_room = posts.post(reactor, letter);
        }
        if !has_room {
            self.set_full(reactor, waiting);
        }
    }

    fn take_let_go(&mut self, waiting: &Cell<usize>, posts: &impl Posts) -> Vec<SessionId> {
        let mut let_go = Vec::new();
        for (reactor, outbox) in self.boxes.iter_mut().enumerate() {
            if !outbox.full || !posts.has_room(reactor) {
                continue;
            }
            outbox.full = false;
            waiting.set(waiting.get() - 1);
            self.held.retain(|id, held| {
                held.reactors.retain(|waits_for| *waits_for != reactor);
                if held.reactors.is_empty() {
                    let_go.push(*id);
                }
                !held.reactors.is_empty()
            });
        }
        let_go
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::CloseReason;

    /// What was posted, and who has no room.
    #[derive(Default)]
    struct Inboxes {
        posted: RefCell<Vec<(usize, Commands)>>,
        full: RefCell<Vec<usize>>,
    }

    impl Posts for Inboxes {
        fn post(&self, reactor: usize, commands: Commands) -> bool {
            self.posted.borrow_mut().push((reactor, commands));
            self.has_room(reactor)
        }

        fn has_room(&self, reactor: usize) -> bool {
            !self.full.borrow().contains(&reactor)
        }
    }

    impl Inboxes {
        fn full(reactors: &[usize]) -> Inboxes {
            Inboxes { full: RefCell::new(reactors.to_vec()), ..Inboxes::default() }
        }

        /// Which reactors have got how many orders, since this was asked last.
        fn posted(&self) -> Vec<(usize, usize)> {
            let posted = self.posted.take();
            posted.into_iter().map(|(reactor, commands)| (reactor, commands.len())).collect()
        }

        fn has_room_again(&self, reactor: usize) {
            self.full.borrow_mut().retain(|full| *full != reactor);
        }
    }

    fn sender() -> SessionId {
        SessionId::new(0, 1, 1)
    }

    /// Those of one more reactor than these.
    fn outboxes(reactors: usize, mailbox_mails_max: usize) -> Outboxes {
        let limits = Limits { mailbox_mails_max, ..Limits::default() };
        Outboxes::new(reactors, reactors + 1, Rc::new(Serving::new()), &limits)
    }

    fn push(outboxes: &Outboxes, command: Command, by: SessionId) -> Taken {
        outboxes.push(command.reactor() as usize, command, by)
    }

    /// Posts to all, and says who is let go.
    fn post(outboxes: &Outboxes, inboxes: &Inboxes) -> Vec<SessionId> {
        outboxes.post(None, inboxes);
        outboxes.take_let_go(inboxes)
    }

    fn close(reactor: u8) -> Command {
        Command::Close(SessionId::new(reactor, 7, 1), CloseReason::Closed)
    }

    #[test]
    fn each_reactor_gets_one_mail_a_turn() {
        let (outboxes, inboxes) = (outboxes(3, 10), Inboxes::default());
        assert!(outboxes.is_empty());
        assert_eq!([0, 2, 2].map(|at| push(&outboxes, close(at), sender())), [Taken::Now; 3]);
        assert_eq!(push(&outboxes, close(4), sender()), Taken::No, "there is no such reactor");
        post(&outboxes, &inboxes);
        assert_eq!(inboxes.posted(), [(0, 1), (2, 2)]);
        assert!(outboxes.is_empty() && !outboxes.has_news());
    }

    #[test]
    fn many_orders_leave_in_letters_of_a_bounded_size_in_their_order() {
        let (outboxes, inboxes) = (outboxes(2, 1_000_000), Inboxes::full(&[1]));
        let send = |n: u32| Command::Send(SessionId::new(1, n, 1), vec![7; 1000].into());
        (0..200).for_each(|n| assert_eq!(push(&outboxes, send(n), sender()), Taken::Now));
        assert_eq!(post(&outboxes, &inboxes), [], "who has ordered in time is not held");
        let mut seen = Vec::new();
        for (_, mut commands) in inboxes.posted.take() {
            assert!(commands.load().bytes < LETTER_MAX.bytes + 1064);
            while let Some(Command::Send(id, _)) = commands.pop() {
                seen.push(id.index());
            }
        }
        assert!(seen.into_iter().eq(0..200));
    }

    #[test]
    fn whoever_asks_of_a_full_inbox_is_taken_and_held_until_it_has_room() {
        let (outboxes, inboxes) = (outboxes(2, 2), Inboxes::full(&[1]));
        assert_eq!(push(&outboxes, close(1), sender()), Taken::Now);
        assert_eq!(post(&outboxes, &inboxes), []);
        assert!(!outboxes.is_empty() && !outboxes.has_news(), "nothing is to be done meanwhile");
        let other = SessionId::new(0, 2, 1);
        for by in [sender(), sender(), other, SessionId::NONE, SessionId::NONE] {
            assert_eq!(push(&outboxes, close(1), by), Taken::Held);
        }
        for by in [sender(), SessionId::NONE] {
            assert_eq!(push(&outboxes, close(1), by), Taken::No, "each has its own bound");
        }
        assert_eq!(
            push(&outboxes, Command::Release(SessionId::new(1, 7, 1)), sender()),
            Taken::Now
        );
        assert_eq!(push(&outboxes, close(0), sender()), Taken::Now, "others are not full");
        assert_eq!(post(&outboxes, &inboxes), []);
        assert_eq!(inboxes.posted(), [(1, 1), (0, 1), (1, 2), (1, 2), (1, 2)]);
        inboxes.has_room_again(1);
        assert_eq!(post(&outboxes, &inboxes), [SessionId::NONE, sender(), other]);
        assert!(outboxes.is_empty());
        assert_eq!(push(&outboxes, close(1), sender()), Taken::Now);
    }

    #[test]
    fn what_fills_an_inbox_within_one_turn_holds_who_goes_on() {
        let (outboxes, inboxes) = (outboxes(2, 2), Inboxes::default());
        let taken = [(); 3].map(|()| push(&outboxes, close(1), sender()));
        assert_eq!(taken, [Taken::Now, Taken::Now, Taken::Held]);
        assert_eq!(post(&outboxes, &inboxes), [sender()], "the inbox had room enough");
        assert!(outboxes.is_empty());
    }

    #[test]
    fn a_sender_waits_for_the_reactors_that_it_sent_to_and_for_no_other() {
        let (outboxes, inboxes) = (outboxes(4, 10), Inboxes::full(&[1, 2, 3]));
        let ids = [1, 2, 3].map(|index| SessionId::new(0, index, 1));
        (1..4).for_each(|at| assert_eq!(push(&outboxes, close(at), ids[0]), Taken::Now));
        assert_eq!(post(&outboxes, &inboxes), []);
        for (by, at) in [(0, 1), (0, 1), (1, 2), (2, 1), (2, 2)] {
            assert_eq!(push(&outboxes, close(at), ids[by]), Taken::Held);
        }
        let let_go = |reactor| {
            inboxes.has_room_again(reactor);
            post(&outboxes, &inboxes)
        };
        assert_eq!(let_go(3), [], "nobody waits for it");
        assert_eq!(let_go(1), [ids[0]], "one waits for another one too, and one for another only");
        assert_eq!(let_go(2), [ids[1], ids[2]]);
        assert!(outboxes.is_empty() && outboxes.boxes.borrow().held.is_empty());
    }

    #[test]
    fn who_is_served_while_a_remote_fills_an_inbox_is_held_and_bounded() {
        let serving = Rc::new(Serving::new());
        let limits = Limits { mailbox_mails_max: 2, ..Limits::default() };
        let (outboxes, inboxes) =
            (Outboxes::new(0, 1, serving.clone(), &limits), Inboxes::full(&[0]));
        serving.serve(sender());
        let load = close(0).load();
        assert!(outboxes.admits(0, load), "there is room");
        outboxes.is_full(0, load);
        assert_eq!((outboxes.take_to_hold(), serving.take_disturbed()), (vec![sender()], true));
        assert!(outboxes.admits(0, load) && !outboxes.admits(0, load), "held, and bounded");
        assert_eq!(post(&outboxes, &inboxes), []);
        inboxes.has_room_again(0);
        assert_eq!(post(&outboxes, &inboxes), [sender()]);
        assert!(outboxes.admits(0, load));
    }

    #[test]
    fn commands_follow_what_was_posted_until_word_of_it_comes_back() {
        let (outboxes, inboxes) = (outboxes(2, 10), Inboxes::default());
        assert!(!outboxes.follows() && outboxes.asks().is_none());
        outboxes.follow();
        assert!(outboxes.has_news());
        assert_eq!((outboxes.asks(), outboxes.asks()), (Some(1), None), "asked once");
        assert_eq!(push(&outboxes, close(2), sender()), Taken::Now);
        outboxes.has_heard(1);
        assert!(outboxes.follows(), "something came behind the question");
        assert_eq!(outboxes.asks(), None, "it is not posted yet");
        assert_eq!(post(&outboxes, &inboxes), []);
        assert_eq!(outboxes.asks(), Some(2));
        outboxes.has_heard(1);
        assert!(outboxes.follows(), "the answer to an earlier question is none to this one");
        outboxes.has_heard(2);
        assert!(!outboxes.follows() && outboxes.is_empty());
    }
}
