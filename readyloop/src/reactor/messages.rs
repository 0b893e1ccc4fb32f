//! What other threads tell the handlers of sessions: told at once, or when the session is open.
//!
//! A message whose session has ended, or whose end has begun, is dropped. That runs code of the user's,
//! which may panic, or post something itself: so it happens where that does no harm.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::close::CloseReason;
use crate::host::Host;
use crate::id::SessionId;
use crate::kernel::Kernel;
use crate::load::Load;
use crate::mailbox::inbox_bounds;
use crate::message::Message;
use crate::session::{Phase, Session};

use super::Reactor;

/// What was told to a session that is not open yet.
#[derive(Default)]
pub(super) struct Kept {
    messages: VecDeque<Message>,
    load: Load,
}

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// Tells the handler of a session; `false` if nobody hears it any more.
    pub(super) fn tell_message(&mut self, name: SessionId, message: Message) -> bool {
        let id = self.sessions.slot(name);
        if !self.sessions.hears(id) {
            self.drop_message(message);
            return false;
        }
        match self.sessions.get(id).map(Session::phase) {
            Some(Phase::Connecting) => self.keep_message(id, message),
            _ => self.deliver_message(id, message),
        }
    }

    /// What a session is told before it is open waits for that, as what it is sent does: no more than an
    /// inbox holds, or the session is given up.
    #[cold]
    fn keep_message(&mut self, id: SessionId, message: Message) -> bool {
        let kept = self.kept.entry(id).or_default();
        if kept.load.reaches(inbox_bounds(&self.limits)) {
            self.sessions.kill(id, CloseReason::SendFull);
            self.drop_message(message);
            return false;
        }
        kept.load += Load::of_one(message.bytes());
        kept.messages.push_back(message);
        true
    }

    /// A session is open: its handler is told what has been kept for it.
    pub(super) fn tell_kept(&mut self, id: SessionId) {
        let kept = self.kept.remove(&id).unwrap_or_default();
        for message in kept.messages {
            let reached = self.tell_message(id, message);
            self.sessions.stats.mails_stale += u64::from(!reached);
        }
    }

    /// A session will never be open.
    pub(super) fn drop_kept(&mut self, id: SessionId) {
        let kept = self.kept.remove(&id).unwrap_or_default();
        for message in kept.messages {
            self.sessions.stats.mails_stale += 1;
            self.drop_message(message);
        }
    }

    /// The reactor is gone, and nobody will be open any more.
    pub(super) fn drop_all_kept(&mut self) {
        let kept: Vec<SessionId> = self.kept.keys().copied().collect();
        kept.into_iter().for_each(|id| self.drop_kept(id));
    }

    fn deliver_message(&mut self, id: SessionId, message: Message) -> bool {
        let Some(link) = self.links.open(id) else {
            self.drop_message(message);
            return false;
        };
        self.sessions.serve_beside_page(id);
        let (host, sessions) = (&mut self.host, &mut self.sessions);
        let told = AssertUnwindSafe(|| host.message(sessions, id, &mut link.session, message));
        if let Err(panic) = catch_unwind(told) {
            self.panicked(id, panic);
        }
        if !H::ELSEWHERE {
            self.sessions.answers_follow(id);
        }
        true
    }

    /// On behalf of nobody, who may panic.
    #[cold]
    fn drop_message(&mut self, message: Message) {
        self.guard(SessionId::NONE, |_, _| drop(message));
    }
}
