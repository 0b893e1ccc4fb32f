//! What a handler in place asks for while something that a `Remote` has posted on its thread waits in
//! the reactor's inbox: that goes by the inbox too, behind it, as it would to another reactor.

use bytes::Bytes;

use crate::close::CloseReason;
use crate::command::Command;
use crate::encoder::{Encoding, Form};
use crate::id::SessionId;
use crate::session::{Holds, Session};

use super::Sessions;

/// What is on its way to a session of this reactor by the reactor's own inbox.
#[derive(Default)]
pub(super) struct Following {
    bytes: usize,
    /// A pause is on its way to it, or more than the high mark.
    paused: bool,
    /// Its handler has closed it.
    ended: bool,
    /// What becomes of its messages, by its handler's choice.
    form: Option<Form>,
    /// Some of it was asked for because of a message.
    told: bool,
    /// The word of the reactor to itself behind which all of this has come.
    word: u64,
}

impl Sessions {
    /// Whether what a handler in place asks for goes by the inbox.
    #[inline(always)]
    pub fn follows(&self) -> bool {
        self.outboxes.follows()
    }

    /// The same as [`Sessions::route`], for a handler in place.
    pub fn ask(&mut self, command: Command, by: SessionId) -> bool {
        if !self.follows() || !self.is_own(command.reactor()) {
            return self.route(command, by);
        }
        match command {
            Command::Send(id, bytes) if id == by => self.send_following(id, bytes),
            _ => self.send_out(self.reactor, command, by),
        }
    }

    /// Sends to the session that is being served, or loses it if that is too much.
    #[cold]
    pub fn send_following(&mut self, id: SessionId, bytes: Bytes) -> bool {
        let count = self.encoded_bytes_following(id, bytes.len());
        self.follow_with(id, count, Command::Answer(id, bytes, count))
    }

    /// The same, as they are.
    #[cold]
    pub fn send_bare_following(&mut self, id: SessionId, bytes: Bytes) -> bool {
        self.follow_with(id, bytes.len(), Command::AnswerBare(id, bytes))
    }

    fn follow_with(&mut self, id: SessionId, count: usize, command: Command) -> bool {
        let unsent = self.unsent_bytes_following(id) + count;
        if !self.accepts_following(id) {
            return false;
        }
        if unsent > self.limits.send_max_bytes {
            self.kill(id, CloseReason::SendFull);
            return false;
        }
        self.outboxes.push_own(command);
        self.sends_following(id, count);
        true
    }

    /// So many bytes are on their way to the session, by itself.
    pub(super) fn sends_following(&mut self, id: SessionId, count: usize) {
        if self.get(id).is_none() {
            return;
        }
        self.following(id).bytes += count;
        // The queue pauses it when the bytes are there, and is not drained before that.
        if self.unsent_bytes_following(id) > self.limits.send_high_bytes
            && let Some(following) = self.hold_following(id)
        {
            following.paused = true;
        }
    }

    /// So many bytes of what was on its way to it wait for its peer now.
    pub(super) fn answer_has_come(&mut self, id: SessionId, count: usize) {
        if let Some(following) = self.following.get_mut(&id) {
            // What a session has sent by a `Remote` in its last callback was not noted any more.
            following.bytes = following.bytes.saturating_sub(count);
        }
    }

    /// How many bytes will wait for the peer, at the most, when so many are sent.
    fn encoded_bytes_following(&self, id: SessionId, bytes: usize) -> usize {
        let chosen = self.following.get(&id).and_then(|following| following.form);
        chosen.unwrap_or_else(|| self.form(id)).encoded_bytes_max(bytes)
    }

    /// Bytes that wait for the peer, also those on their way here.
    pub fn unsent_bytes_following(&self, id: SessionId) -> usize {
        let following = self.following.get(&id).map_or(0, |following| following.bytes);
        self.unsent_bytes(id) + following + self.outboxes.sent_to_itself(id)
    }

    fn accepts_following(&self, id: SessionId) -> bool {
        self.get(id).is_some_and(Session::accepts) && !self.is_closing_behind(id)
    }

    /// Chooses what becomes of what is sent to the session that is being served.
    #[cold]
    pub fn set_encoding_following(&mut self, id: SessionId, encoding: Encoding) -> bool {
        let accepts = self.accepts_following(id);
        if accepts {
            self.following(id).form = Some(encoding.form());
            self.outboxes.push_own(Command::SetEncoding(id, encoding));
        }
        accepts
    }

    /// Pauses the session that is being served: no more frames come from now on.
    #[cold]
    pub fn pause_following(&mut self, id: SessionId) -> bool {
        if !self.accepts_following(id) {
            return false;
        }
        let Some(following) = self.hold_following(id) else { return false };
        following.paused = true;
        self.outboxes.push_own(Command::Pause(id));
        true
    }

    /// What was on its way has paused it.
    pub(super) fn pause_has_come(&mut self, id: SessionId) {
        if let Some(following) = self.following.get_mut(&id) {
            following.paused = false;
        }
    }

    /// Whether the session is paused, or will be by what is on its way.
    pub fn is_paused_following(&self, id: SessionId) -> bool {
        self.is_paused(id)
            || self.following.get(&id).is_some_and(|following| following.paused)
            || self.outboxes.sent_to_itself(id) > 0
                && self.unsent_bytes_following(id) > self.limits.send_high_bytes
    }

    /// Closes a session behind all that its handler has asked for.
    pub fn finish(&mut self, id: SessionId, reason: CloseReason) {
        match self.follows() {
            true => self.close_following(id, reason),
            false => drop(self.close(id, reason)),
        }
    }

    /// Nothing more is sent, and no more frames come, from now on.
    #[cold]
    fn close_following(&mut self, id: SessionId, reason: CloseReason) {
        if !self.accepts_following(id) {
            return;
        }
        let Some(following) = self.hold_following(id) else { return };
        following.ended = true;
        self.outboxes.push_own(Command::Close(id, reason));
    }

    /// The session's handler has heard a message of another thread: what it has asked for then, and is on its
    /// way, is done before whatever ends the session behind that message.
    pub fn answers_follow(&mut self, id: SessionId) {
        if self.outboxes.sent_to_itself(id) > 0 && self.get(id).is_some() {
            self.following(id);
        }
        if let Some(following) = self.following.get_mut(&id) {
            following.told = true;
        }
    }

    /// Whether that is so.
    pub(super) fn answers_are_coming(&self, id: SessionId) -> bool {
        self.following.get(&id).is_some_and(|following| following.told)
    }

    /// Whether the handler has closed it, and that is on its way.
    pub(super) fn is_closing_behind(&self, id: SessionId) -> bool {
        self.following.get(&id).is_some_and(|following| following.ended)
    }

    fn hold_following(&mut self, id: SessionId) -> Option<&mut Following> {
        self.get(id)?;
        self.hold(id, Holds::FOLLOWS);
        Some(self.following(id))
    }

    /// Something more is on its way to the session.
    fn following(&mut self, id: SessionId) -> &mut Following {
        let following = self.following.entry(id).or_default();
        following.word = self.outboxes.next_word();
        following
    }

    /// All that was posted before this word is done; if it is the last one, all is done in place again.
    /// Who waits only for what was before it goes on also while the reactor never catches up.
    #[cold]
    pub fn caught_up_with_inbox(&mut self, word: u64) {
        self.outboxes.has_heard(word);
        let has_come = |following: &Following| following.word <= word;
        let mut come = Vec::new();
        self.following.retain(|id, following| {
            if has_come(following) {
                come.push(*id);
            }
            !has_come(following)
        });
        for id in come {
            self.release(id, Holds::FOLLOWS);
            self.end_behind_told(id);
        }
    }
}
