//! What one thread asks of the sessions of another: plain data, done by the reactor that owns them;
//! and how much of a mailbox it takes.

use std::collections::VecDeque;
use std::ops::{AddAssign, SubAssign};

use bytes::Bytes;

use crate::close::CloseReason;
use crate::envelope::Envelope;
use crate::group::Group;
use crate::id::SessionId;

/// One thing to be done to a session, wherever it lives. To the dead it is done to nobody.
#[derive(Debug)]
pub enum Command {
    /// Queue bytes.
    Send(SessionId, Bytes),
    /// Queue bytes that the session's own handler has sent; so many were counted for them, on their way.
    Answer(SessionId, Bytes, usize),
    /// The same without the session's envelope.
    AnswerBare(SessionId, Bytes),
    /// Close after the queue has left, for this reason.
    Close(SessionId, CloseReason),
    /// Cut off at once.
    Abort(SessionId),
    /// Add to a group.
    Join(SessionId, Group),
    /// Add to a group that counts it as a member of that reactor already.
    JoinCounted(SessionId, Group),
    /// Take out of a group.
    Leave(SessionId, Group),
    /// Send to all members of a group on one reactor.
    Broadcast(u8, Group, Bytes),
    /// Do not read until the queue has fallen to the low mark.
    Pause(SessionId),
    /// Put this around all that is sent.
    SetEnvelope(SessionId, Option<&'static Envelope>),
    /// The slow members for which a sender was held have caught up.
    Release(SessionId),
}

/// What mails take of the bounds of a mailbox: how many they are, and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// Commands, and pieces of work that are to be run.
    pub mails: usize,
    /// The bytes that they carry, and [`MAIL_BYTES`] for each of them.
    pub bytes: usize,
}

/// What a mail counts for besides the bytes that it carries: its place in the mailbox, and the
/// header of its bytes.
pub const MAIL_BYTES: usize = 64;

impl Load {
    /// No bound at all.
    pub const MAX: Load = Load { mails: usize::MAX, bytes: usize::MAX };

    /// Whether any of these bounds is reached.
    pub fn reaches(self, bounds: Load) -> bool {
        self.mails >= bounds.mails || self.bytes >= bounds.bytes
    }

    /// Half of both.
    pub fn half(self) -> Load {
        Load { mails: self.mails / 2, bytes: self.bytes / 2 }
    }

    /// Whether both are at most those.
    pub fn is_within(self, bounds: Load) -> bool {
        self.mails <= bounds.mails && self.bytes <= bounds.bytes
    }
}

impl AddAssign for Load {
    fn add_assign(&mut self, more: Load) {
        self.mails += more.mails;
        self.bytes += more.bytes;
    }
}

impl SubAssign for Load {
    fn sub_assign(&mut self, less: Load) {
        self.mails -= less.mails;
        self.bytes -= less.bytes;
    }
}

/// Commands that travel together, first in, first out.
#[derive(Debug, Default)]
pub struct Commands {
    list: VecDeque<Command>,
    load: Load,
}

impl Commands {
    #[cfg(test)]
    /// How many have not been taken out.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether all have been taken out.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What all that were put in weigh, whether they were taken out or not.
    pub fn load(&self) -> Load {
        self.load
    }

    /// Adds an order at the end. Bytes that it shares with the one before it are here once, and
    /// count once. Says how much was added.
    pub fn push(&mut self, order: Command) -> Load {
        let shared = match (order.bytes(), self.list.back().and_then(Command::bytes)) {
            (Some(own), Some(last)) => own.as_ptr() == last.as_ptr() && own.len() == last.len(),
            _ => false,
        };
        let added = if shared { Load { mails: 1, bytes: MAIL_BYTES } } else { order.load() };
        self.load += added;
        self.list.push_back(order);
        added
    }

    /// Takes the first one out.
    pub fn pop(&mut self) -> Option<Command> {
        self.list.pop_front()
    }
}

impl Command {
    /// What it weighs, sent by itself.
    pub fn load(&self) -> Load {
        Load { mails: 1, bytes: MAIL_BYTES + self.payload_bytes() }
    }

    /// How many bytes it sends.
    pub fn payload_bytes(&self) -> usize {
        self.bytes().map_or(0, Bytes::len)
    }

    fn bytes(&self) -> Option<&Bytes> {
        match self {
            Command::Send(_, bytes)
            | Command::Answer(_, bytes, _)
            | Command::AnswerBare(_, bytes)
            | Command::Broadcast(_, _, bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Nobody will do it any more: who was counted as a member is not.
    pub fn forget(self) {
        if let Command::JoinCounted(id, group) = self {
            group.left(id.reactor());
        }
    }

    /// Whether somebody waits for it, and would for ever if it were not taken. There is at most one
    /// for each session.
    pub fn is_owed(&self) -> bool {
        matches!(self, Command::Release(_))
    }

    /// The reactor that must do it.
    pub fn reactor(&self) -> u8 {
        match self {
            Command::Send(id, _)
            | Command::Answer(id, ..)
            | Command::AnswerBare(id, _)
            | Command::Close(id, _)
            | Command::Abort(id)
            | Command::Join(id, _)
            | Command::JoinCounted(id, _)
            | Command::Leave(id, _)
            | Command::Pause(id)
            | Command::SetEnvelope(id, _)
            | Command::Release(id) => id.reactor(),
            Command::Broadcast(reactor, ..) => *reactor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_many_are_sent_count_once_in_a_letter() {
        let (mut orders, id) = (Commands::default(), SessionId::new(1, 7, 1));
        let shared = Bytes::from(vec![7; 1000]);
        (0..10).for_each(|_| {
            orders.push(Command::Send(id, shared.clone()));
        });
        orders.push(Command::Close(id, CloseReason::Closed));
        assert_eq!(orders.load(), Load { mails: 11, bytes: 1000 + 11 * MAIL_BYTES });
        orders.push(Command::Send(id, Bytes::from(vec![7; 1000])));
        assert_eq!(orders.load().bytes, 2000 + 12 * MAIL_BYTES, "the same, and yet others");
        while orders.pop().is_some() {}
        assert_eq!(orders.load().mails, 12, "what they were weighed with when they were posted");
    }

    #[test]
    fn a_mail_is_no_larger_than_what_it_counts_for() {
        assert!(size_of::<Command>() <= MAIL_BYTES, "{}", size_of::<Command>());
    }
}
