//! Many sessions under one name, to which the same bytes are sent at once.
//!
//! A group belongs to no reactor. Each reactor knows its own members; what they share is how many
//! there are on each, so that a broadcast goes only where somebody listens, and who waits for the
//! slow ones.
//!
//! Thread contract: any-thread.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::SessionId;

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
    slow_member: SlowMember,
    /// Members on each reactor.
    members: [AtomicUsize; 256],
    /// Members that stand over the high mark; counted only where senders wait for them.
    slow: AtomicUsize,
    /// Senders that are not read until there is none.
    waiting: Mutex<Vec<SessionId>>,
}

impl Group {
    /// A group without members.
    pub fn new(slow_member: SlowMember) -> Group {
        Group(Arc::new(Shared {
            slow_member,
            members: std::array::from_fn(|_| AtomicUsize::new(0)),
            slow: AtomicUsize::new(0),
            waiting: Mutex::new(Vec::new()),
        }))
    }

    /// How many members it has, on all reactors.
    pub fn len(&self) -> usize {
        self.0.members.iter().map(|members| members.load(Ordering::Relaxed)).sum()
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether somebody on this reactor listens.
    pub(crate) fn is_on(&self, reactor: u8) -> bool {
        self.0.members[reactor as usize].load(Ordering::Acquire) > 0
    }

    pub(crate) fn joined(&self, reactor: u8) {
        self.0.members[reactor as usize].fetch_add(1, Ordering::Release);
    }

    pub(crate) fn left(&self, reactor: u8) {
        self.0.members[reactor as usize].fetch_sub(1, Ordering::Release);
    }

    pub(crate) fn slow_member(&self) -> SlowMember {
        self.0.slow_member
    }

    /// What tells it from all other groups, as long as anybody has it.
    pub(crate) fn key(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// A member stands over the high mark from now on.
    pub(crate) fn slowed_down(&self) {
        if self.0.slow_member == SlowMember::PauseSender {
            self.0.slow.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// A member does so no longer, or is none. Says who waited for it to be the last one.
    pub(crate) fn caught_up(&self) -> Vec<SessionId> {
        if self.0.slow_member != SlowMember::PauseSender
            || self.0.slow.fetch_sub(1, Ordering::AcqRel) != 1
        {
            return Vec::new();
        }
        std::mem::take(&mut self.waiting())
    }

    /// Whether a sender must wait for slow members.
    pub(crate) fn is_slow(&self) -> bool {
        self.0.slow.load(Ordering::Acquire) > 0
    }

    /// Lets `sender` wait for slow members, if there are any.
    pub(crate) fn wait(&self, sender: SessionId) -> bool {
        if !self.is_slow() {
            return false;
        }
        let mut waiting = self.waiting();
        // Once more, under the lock: the last one that catches up takes the list after it has
        // counted itself out, so whoever sees it slow here will be on that list.
        let waits = self.is_slow();
        if waits {
            waiting.push(sender);
        }
        waits
    }

    /// No code runs under the lock that could leave the list half changed, so poison means nothing.
    fn waiting(&self) -> MutexGuard<'_, Vec<SessionId>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(group.caught_up(), []);
        assert_eq!(group.caught_up(), [sender]);
        assert!(!group.is_slow() && !group.wait(sender));
    }

    #[test]
    fn nobody_waits_where_messages_are_dropped() {
        let group = Group::new(SlowMember::DropMessage);
        group.slowed_down();
        assert!(!group.wait(SessionId::new(0, 1, 1)));
        assert_eq!(group.caught_up(), []);
    }
}
