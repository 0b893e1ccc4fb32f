//! The mails that other threads send to a reactor, and what the reactor does with each.

use bytes::Bytes;

use crate::close::CloseReason;
use crate::context::Context;
use crate::handler::Handler;
use crate::id::SessionId;
use crate::kernel::Kernel;

use super::Reactor;

/// One mail.
pub enum Mail {
    /// Queue bytes for a session.
    Send(SessionId, Bytes),
    /// Close a session after its queue has left.
    Close(SessionId),
    /// Cut a session off at once.
    Abort(SessionId),
    /// Run something on the reactor's thread.
    Run(Box<dyn FnOnce(&mut Context<'_>) + Send>),
    /// Stop: no more callers, drain all sessions, end.
    Stop,
    /// Stop without draining.
    StopNow,
}

impl<K: Kernel, H: Handler> Reactor<K, H> {
    /// Handles at most `Limits::mails_per_turn` mails.
    #[inline]
    pub(super) fn mail(&mut self) {
        // While mails wait here, the announcement of more must stand: to acknowledge it without
        // taking them would be to forget them.
        if self.inbox.is_empty() && self.mailbox.wake_up() {
            self.mailbox.take(&mut self.inbox);
        }
        if !self.inbox.is_empty() {
            self.open_mails();
        }
    }

    #[cold]
    fn open_mails(&mut self) {
        for _ in 0..self.limits.mails_per_turn {
            let Some(mail) = self.inbox.pop_front() else { return };
            self.sessions.stats.mails += 1;
            let reached = match mail {
                Mail::Send(id, bytes) => self.sessions.send_shared(id, bytes),
                Mail::Close(id) => self.sessions.close(id, CloseReason::Closed),
                Mail::Abort(id) => self.sessions.kill(id, CloseReason::Aborted),
                Mail::Run(work) => {
                    self.guard(SessionId::NONE, |_, context| work(context));
                    true
                }
                Mail::Stop => {
                    self.drain();
                    true
                }
                Mail::StopNow => {
                    self.stop_now();
                    true
                }
            };
            self.sessions.stats.mails_stale += u64::from(!reached);
        }
    }
}
