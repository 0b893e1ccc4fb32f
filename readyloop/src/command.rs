//! Whatever can be asked of a session: one enum, applied by the reactor that owns it, whoever asks, on
//! whatever thread, through whatever door. And commands that travel together.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::address::Route;
use crate::close::CloseReason;
use crate::encoder::Encoding;
use crate::group::Group;
use crate::id::SessionId;
use crate::load::Load;
use crate::message::Message;
use crate::wheel::TimerId;

/// One thing to be done to a session, wherever it lives. To the dead it is done to nobody.
#[derive(Debug)]
pub enum Command {
    /// Queue bytes.
    Send(SessionId, Bytes),
    /// Queue bytes that the session's own handler has sent; so many were counted for them, on their way.
    Answer(SessionId, Bytes, usize),
    /// The same, as they are, though the session may encode.
    AnswerBare(SessionId, Bytes),
    /// Close after the queue has left, for this reason.
    Close(SessionId, CloseReason),
    /// Cut off at once, for this reason.
    Kill(SessionId, CloseReason),
    /// Add to a group.
    Join(Joining),
    /// Take out of a group.
    Leave(SessionId, Group),
    /// Send to all members of a group on one reactor.
    Broadcast(u8, Group, Bytes),
    /// Do not read who has sent to a group before its slow members have caught up.
    WaitForSlow(SessionId, Group),
    /// The slow members for which a sender was held have caught up.
    Release(SessionId),
    /// Do not read until the queue has fallen to the low mark.
    Pause(SessionId),
    /// Do not read before this reactor's inbox has room, which was filled on its behalf.
    WaitForRoom(SessionId, u8),
    /// Encode all that is sent from now on.
    SetEncoding(SessionId, Encoding),
    /// Start a timer that a worker has named, or start it anew.
    SetTimer(SessionId, LaneTimer, Duration),
    /// Cancel a timer that a worker has named.
    CancelTimer(SessionId, TimerId),
    /// Dial, for a session that a worker has named, and give up after so long.
    Connect(SessionId, Box<Route>, Duration),
    /// Tell the session's handler.
    Tell(SessionId, Message),
    /// Stop the server to which the session belongs.
    Stop(SessionId),
}

/// A timer as a lane knows it; the wheel has another name for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaneTimer {
    /// Its name for the handler.
    pub id: TimerId,
    /// How often it was started: one that fires for an earlier start is stale.
    pub start: u32,
}

/// A session that is about to join a group, which counts it as a member from now on: a broadcast goes only to
/// reactors with members, and may be posted before the session has joined. It counts until this is dropped,
/// be it that it has joined, and counts as itself, or that nobody will ever read the command.
#[derive(Debug)]
pub struct Joining {
    id: SessionId,
    group: Group,
}

impl Joining {
    /// The session that joins.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What it joins.
    pub fn group(&self) -> &Group {
        &self.group
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        self.group.left(self.id.reactor());
    }
}

impl Command {
    /// Adds a session to a group.
    pub fn join(id: SessionId, group: &Group) -> Command {
        group.joined(id.reactor());
        Command::Join(Joining { id, group: group.clone() })
    }

    /// What it weighs, sent by itself.
    pub fn load(&self) -> Load {
        Load::of_one(self.payload_bytes())
    }

    /// How many bytes it sends, or its message weighs.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Command::Tell(_, message) => message.bytes(),
            _ => self.bytes().map_or(0, Bytes::len),
        }
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
            | Command::Kill(id, _)
            | Command::Leave(id, _)
            | Command::WaitForSlow(id, _)
            | Command::Release(id)
            | Command::Pause(id)
            | Command::WaitForRoom(id, _)
            | Command::SetEncoding(id, _)
            | Command::SetTimer(id, ..)
            | Command::CancelTimer(id, _)
            | Command::Connect(id, ..)
            | Command::Tell(id, _)
            | Command::Stop(id) => id.reactor(),
            Command::Join(joining) => joining.id.reactor(),
            Command::Broadcast(reactor, ..) => *reactor,
        }
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

    /// Adds a command at the end. Bytes that it shares with the one before it are here once, and
    /// count once. Says how much was added.
    pub fn push(&mut self, command: Command) -> Load {
        let shared = match (command.bytes(), self.list.back().and_then(Command::bytes)) {
            (Some(own), Some(last)) => own.as_ptr() == last.as_ptr() && own.len() == last.len(),
            _ => false,
        };
        let added = if shared { Load::of_one(0) } else { command.load() };
        self.load += added;
        self.list.push_back(command);
        added
    }

    /// Takes the first one out.
    pub fn pop(&mut self) -> Option<Command> {
        self.list.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::SlowMember;
    use crate::load::MAIL_BYTES;

    #[test]
    fn bytes_that_many_are_sent_count_once_in_a_letter() {
        let (mut commands, id) = (Commands::default(), SessionId::new(1, 7, 1));
        let shared = Bytes::from(vec![7; 1000]);
        (0..10).for_each(|_| {
            commands.push(Command::Send(id, shared.clone()));
        });
        commands.push(Command::Close(id, CloseReason::Closed));
        assert_eq!(commands.load(), Load { mails: 11, bytes: 1000 + 11 * MAIL_BYTES });
        commands.push(Command::Send(id, Bytes::from(vec![7; 1000])));
        assert_eq!(commands.load().bytes, 2000 + 12 * MAIL_BYTES, "the same, and yet others");
        while commands.pop().is_some() {}
        assert_eq!(commands.load().mails, 12, "what they were weighed with when they were posted");
    }

    #[test]
    fn a_mail_is_no_larger_than_what_it_counts_for() {
        assert!(size_of::<Command>() <= MAIL_BYTES, "{}", size_of::<Command>());
    }

    #[test]
    fn who_joins_counts_as_a_member_until_it_is_known_whether_it_is_one() {
        let group = Group::new(SlowMember::DropMessage);
        let mut commands = Commands::default();
        commands.push(Command::join(SessionId::new(1, 7, 1), &group));
        assert!(group.is_on(1), "a broadcast that is posted now finds it");
        drop(commands);
        assert!(group.is_empty(), "nobody has read the command");
    }
}
