//! What other threads post to a reactor.

use crate::buffer::{CommandBuffer, Wish};
use crate::command::{Command, Commands, Load, MAIL_BYTES};
use crate::context::Context;
use crate::id::SessionId;

/// One mail of any thread.
pub enum Letter {
    /// What the callback that runs on a worker has asked for so far.
    Buffer(SessionId, Box<CommandBuffer>),
    /// Do something to one session.
    Command(Command),
    /// Do all of this.
    Commands(Commands),
    /// Run something on the reactor's thread.
    Run(Box<dyn FnOnce(&mut Context<'_>) + Send>),
    /// From the reactor to itself, the how manieth such word: all that its thread had posted before has
    /// been done.
    CaughtUp(u64),
    /// Stop: no more callers, drain all sessions, end.
    Stop,
    /// Stop without draining.
    StopNow,
}

impl Letter {
    /// Which session it sends how many bytes, if it is that.
    pub fn sent(&self) -> Option<(SessionId, usize)> {
        match self {
            Letter::Command(Command::Send(id, bytes)) => Some((*id, bytes.len())),
            _ => None,
        }
    }

    /// Nobody will do it any more: who was counted as a member, because it was about to be one, is not.
    pub fn forget(self) {
        match self {
            Letter::Command(order) => order.forget(),
            Letter::Commands(mut orders) => {
                while let Some(order) = orders.pop() {
                    order.forget();
                }
            }
            Letter::Buffer(_, commands) => {
                for (_, wish) in commands.wishes {
                    if let Wish::Command(order) = wish {
                        order.forget();
                    }
                }
            }
            Letter::Run(_) | Letter::CaughtUp(_) | Letter::Stop | Letter::StopNow => {}
        }
    }

    /// What it takes of the mailbox's bounds until it is handled.
    pub fn load(&self) -> Load {
        match self {
            Letter::Command(order) => order.load(),
            Letter::Commands(orders) => orders.load(),
            Letter::Run(work) => Load { mails: 1, bytes: MAIL_BYTES + size_of_val(&**work) },
            Letter::Buffer(_, commands) => commands.load(),
            Letter::CaughtUp(_) | Letter::Stop | Letter::StopNow => Load::default(),
        }
    }
}
