//! Many sessions under one name, to which the same bytes are sent at once.
//!
//! A group belongs to no reactor. Each reactor knows its own members; what they share is how many
//! there are on each, so that a broadcast goes only where somebody listens, and who waits for the
//! slow ones.
//!
//! Thread contract: any-thread.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError};

use crate::id::SessionId;
use crate::sync::{AtomicU32, Mutex, MutexGuard, Ordering};

/// What becomes of a broadcast when a member's send queue stands over the high mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SlowMember {
    /// It is queued all the same, and whoever sends to the group is not read until no member
    /// stands over the high mark: everybody gets everything, at the pace of the slowest.
    PauseSender,
    /// The member misses this message, and no other member does.
    #[default]
    DropMessage,
    /// The member is closed, with `CloseReason::TooSlow`.
    CloseMember,
}

/// A set of sessions, on any reactors of one server: join, leave, broadcast. `Clone`, `Send` and
/// `Sync`; clones are the same group. It lasts as long as anybody has it, or is in it.
///
/// A session leaves all of its groups when it ends.
///
/// ```
/// use readyloop::{Context, Group, Handler, Lines, Peer, SlowMember};
///
/// struct Chat {
///     room: Group,
/// }
///
/// impl Handler for Chat {
///     type Framer = Lines;
///     type Session = ();
///     fn on_open(&mut self, _: &Peer, context: &mut Context<'_>) -> (Lines, ()) {
///         context.join(&self.room);
///         (Lines::new(1024), ())
///     }
///     fn on_frame(&mut self, _: &mut (), line: &[u8], context: &mut Context<'_>) {
///         context.broadcast(&self.room, [line, b"\n"].concat());
///     }
/// }
///
/// let room = Group::new(SlowMember::DropMessage);
/// # assert!(room.is_empty());
/// let handler = |_thread| Chat { room: room.clone() };
/// # handler(0);
/// ```
#[derive(Clone)]
pub struct Group(Arc<Shared>);

struct Shared {
    /// Members on each reactor.
    members: Counts,
    /// A group whose senders wait is 40 bytes more.
    policy: Policy,
}

enum Policy {
    PauseSender(Box<Slow>),
    DropMessage,
    CloseMember,
}

#[derive(Default)]
struct Slow {
    /// Members that stand over the high mark.
    members: AtomicU32,
    /// Senders that are not read until there is none; each once, however often it has sent.
    waiting: Mutex<BTreeSet<SessionId>>,
}

const COUNTS: u8 = 8;

/// A counter for each of eight reactors that follow each other, and more behind them as soon as
/// one is needed: most servers have no more than eight reactors, and most groups no members on
/// more than a few.
struct Counts {
    /// Which eight: reactors `COUNTS * nth` and those that follow it.
    nth: u8,
    members: [AtomicU32; COUNTS as usize],
    /// Never taken out again, so that it can be read without a lock.
    more: OnceLock<Box<Counts>>,
}

impl Counts {
    fn new(nth: u8) -> Counts {
        Counts { nth, members: Default::default(), more: OnceLock::new() }
    }

    /// The counter of a reactor, if it was ever needed.
    fn find(&self, reactor: u8) -> Option<&AtomicU32> {
        let mut counts = self;
        while counts.nth != reactor / COUNTS {
            counts = counts.more.get()?;
        }
        Some(&counts.members[(reactor % COUNTS) as usize])
    }

    /// The counter of a reactor. Of two threads that make room at once, one does it for both, and
    /// the other looks further if it was for other reactors.
    fn make(&self, reactor: u8) -> &AtomicU32 {
        let (nth, mut counts) = (reactor / COUNTS, self);
        while counts.nth != nth {
            counts = counts.more.get_or_init(|| Box::new(Counts::new(nth)));
        }
        &counts.members[(reactor % COUNTS) as usize]
    }

    fn sum(&self) -> usize {
        let pieces = std::iter::successors(Some(self), |counts| Some(counts.more.get()?));
        let members = pieces.flat_map(|counts| &counts.members);
        members.map(|members| members.load(Ordering::Relaxed) as usize).sum()
    }
}

impl Group {
    /// A group without members.
    pub fn new(slow_member: SlowMember) -> Group {
        let policy = match slow_member {
            SlowMember::PauseSender => Policy::PauseSender(Box::default()),
            SlowMember::DropMessage => Policy::DropMessage,
            SlowMember::CloseMember => Policy::CloseMember,
        };
        Group(Arc::new(Shared { members: Counts::new(0), policy }))
    }

    /// How many members it has, on all reactors.
    pub fn len(&self) -> usize {
        self.0.members.sum()
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether somebody on this reactor listens.
    ///
    /// Nothing is read because of the answer, so the order of this load with others does not
    /// matter: who is counted by [`Group::joined`] and then says so, by mail or under a lock, is
    /// found by whoever has heard it, because that orders the count as well.
    pub(crate) fn is_on(&self, reactor: u8) -> bool {
        self.0.members.find(reactor).is_some_and(|members| members.load(Ordering::Relaxed) > 0)
    }

    pub(crate) fn joined(&self, reactor: u8) {
        self.0.members.make(reactor).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn left(&self, reactor: u8) {
        self.0.members.make(reactor).fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn slow_member(&self) -> SlowMember {
        match self.0.policy {
            Policy::PauseSender(_) => SlowMember::PauseSender,
            Policy::DropMessage => SlowMember::DropMessage,
            Policy::CloseMember => SlowMember::CloseMember,
        }
    }

    /// What tells it from all other groups, as long as anybody has it.
    pub(crate) fn key(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// A member stands over the high mark from now on.
    pub(crate) fn slowed_down(&self) {
        if let Policy::PauseSender(slow) = &self.0.policy {
            slow.members.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A member does so no longer, or is none. Says who waited for it to be the last one.
    pub(crate) fn caught_up(&self) -> BTreeSet<SessionId> {
        match &self.0.policy {
            Policy::PauseSender(slow) if slow.members.fetch_sub(1, Ordering::Relaxed) == 1 => {
                std::mem::take(&mut slow.waiting())
            }
            _ => BTreeSet::new(),
        }
    }

    /// Whether senders wait for slow members.
    pub(crate) fn holds_senders(&self) -> bool {
        matches!(self.0.policy, Policy::PauseSender(_))
    }

    /// Whether a sender must wait for slow members now.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(&self.0.policy, Policy::PauseSender(slow) if slow.is_slow())
    }

    /// Lets `sender` wait for slow members, if there are any.
    pub(crate) fn wait(&self, sender: SessionId) -> bool {
        let Policy::PauseSender(slow) = &self.0.policy else { return false };
        if !slow.is_slow() {
            return false;
        }
        let mut waiting = slow.waiting();
        // Once more, under the lock, which orders the count as well. Whoever counts the last slow
        // member out takes the list after that. If it had the lock before us, we see its count; if
        // it has it after us, it finds us on the list.
        let waits = slow.is_slow();
        if waits {
            waiting.insert(sender);
        }
        waits
    }
}

impl Slow {
    fn is_slow(&self) -> bool {
        self.members.load(Ordering::Relaxed) > 0
    }

    /// No code runs under the lock that could leave the list half changed, so poison means nothing.
    fn waiting(&self) -> MutexGuard<'_, BTreeSet<SessionId>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Group {
    /// Clones are the same group, and two that were made are not.
    fn eq(&self, other: &Group) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Group {}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("members", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_counted_where_they_are() {
        let group = Group::new(SlowMember::default());
        group.joined(0);
        group.joined(3);
        assert_eq!((group.len(), group.is_on(3), group.is_on(1)), (2, true, false));
        group.left(3);
        assert!(!group.is_on(3) && group.clone().len() == 1);
        assert_eq!(group.key(), group.clone().key());
    }

    #[test]
    fn a_sender_waits_until_the_last_slow_member_has_caught_up() {
        let group = Group::new(SlowMember::PauseSender);
        let sender = SessionId::new(0, 1, 1);
        assert!(!group.wait(sender), "nobody is slow");
        group.slowed_down();
        group.slowed_down();
        assert!(group.wait(sender));
        assert!(group.wait(sender), "it has sent again, and waits once");
        assert_eq!(group.caught_up(), [].into());
        assert_eq!(group.caught_up(), [sender].into());
        assert!(!group.is_slow() && !group.wait(sender));
    }

    #[test]
    fn nobody_waits_where_messages_are_dropped() {
        let group = Group::new(SlowMember::DropMessage);
        group.slowed_down();
        assert!(!group.wait(SessionId::new(0, 1, 1)));
        assert_eq!(group.caught_up(), [].into());
    }

    #[test]
    fn every_reactor_that_a_server_may_have_is_counted_by_itself() {
        let group = Group::new(SlowMember::default());
        let reactors = [200, 7, 8, 254, 0, 15];
        reactors.into_iter().for_each(|reactor| group.joined(reactor));
        let found: Vec<u8> = (0..=255).filter(|reactor| group.is_on(*reactor)).collect();
        assert_eq!((found, group.len()), (vec![0, 7, 8, 15, 200, 254], 6));
        reactors.into_iter().for_each(|reactor| group.left(reactor));
        assert!(group.is_empty() && !(0..=255).any(|reactor| group.is_on(reactor)));
    }
}
