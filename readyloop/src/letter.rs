//! What other threads post to a reactor.

use crate::buffer::CommandBuffer;
use crate::command::{Command, Commands};
use crate::context::Context;
use crate::id::SessionId;
use crate::load::Load;

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

    /// What it takes of the mailbox's bounds until it is handled.
    pub fn load(&self) -> Load {
        match self {
            Letter::Command(command) => command.load(),
            Letter::Commands(commands) => commands.load(),
            Letter::Run(work) => Load::of_one(size_of_val(&**work)),
            Letter::Buffer(_, buffer) => buffer.load(),
            Letter::CaughtUp(_) | Letter::Stop | Letter::StopNow => Load::default(),
        }
    }
}
