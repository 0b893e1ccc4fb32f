//! What a handler on a worker has asked for, in its order, until the reactor does it.
//!
//! Copies of what was sent lie on a page like the reactor's own; all else is a list, in which each command
//! knows how many of the page's entries came before it.

use crate::clock::Now;
use crate::command::Command;
use crate::id::SessionId;
use crate::load::{Load, MAIL_BYTES};
use crate::page::Page;
use crate::session::Standing;
use crate::slab::Slab;

/// What a handler has asked for, in its order.
pub struct CommandBuffer {
    /// Copies of what was sent, with an entry for each run of bytes to one session.
    pub page: Page,
    /// What else was asked for, each behind so many entries of the page.
    pub rest: Vec<(usize, Command)>,
    /// Panics caught.
    pub panics: u64,
}

/// The timers of one lane that have neither fired nor been cancelled.
pub type LaneTimers = Slab<Started>;

/// A timer that was started.
#[derive(Default)]
pub struct Started {
    /// A number that no timer of another session has, so that its name means nothing there.
    pub number: u32,
    /// How often it was started.
    pub start: u32,
}

/// One run of a lane: what its handler may know of the session, and what it has asked for.
#[derive(Default)]
pub struct Run {
    /// What was asked for, and has not left yet.
    pub commands: CommandBuffer,
    /// The turn in which the frames were handed over.
    pub now: Now,
    /// How the session stood then, but for the shared bytes that were sent since, what has left since,
    /// and the encoding that was chosen since.
    pub standing: Standing,
    /// The lane's timers, while it runs.
    pub timers: Option<Box<LaneTimers>>,
}

/// Room for answers that there is at first, in bytes.
const PAGE_BYTES: usize = 128;
/// Room that is kept when it was more.
pub const PAGE_BYTES_KEPT: usize = 16 << 10;
const REST_KEPT: usize = 64;

impl Default for CommandBuffer {
    /// Nothing.
    fn default() -> CommandBuffer {
        CommandBuffer { page: Page::new(PAGE_BYTES), rest: Vec::new(), panics: 0 }
    }
}

impl CommandBuffer {
    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.page.is_empty() && self.rest.is_empty()
    }

    /// Writes down a command, behind all that was sent before. Nobody is the page's writer afterwards.
    pub fn push(&mut self, command: Command) {
        self.page.end();
        self.rest.push((self.page.len(), command));
    }

    /// How many bytes on the page are for this session.
    pub fn bytes_for(&self, id: SessionId) -> usize {
        let entries = (0..self.page.len()).map(|nth| self.page.entry(nth));
        entries.filter(|(to, _)| *to == id).map(|(_, range)| range.len()).sum()
    }

    /// What they take of a mailbox's bounds.
    pub fn load(&self) -> Load {
        let mails = self.page.len() + self.rest.len();
        let shared = self.rest.iter().map(|(_, command)| command.payload_bytes());
        Load { mails, bytes: mails * MAIL_BYTES + self.page.written() + shared.sum::<usize>() }
    }

    /// Empty again, with the room it had if that is not much.
    #[inline(always)]
    pub fn clear(&mut self) {
        if !self.rest.is_empty() {
            empty(&mut self.rest, REST_KEPT);
        }
        self.page.clear();
        if self.page.room() > PAGE_BYTES_KEPT {
            self.page = Page::new(PAGE_BYTES);
        }
    }
}

/// Empties a list, and gives back its room if that is more than `kept`.
#[inline]
pub fn empty<T>(list: &mut Vec<T>, kept: usize) {
    list.clear();
    if list.capacity() > kept {
        list.shrink_to(kept);
    }
}
