//! Where work crosses a thread: nowhere, at a session's birth, or with every batch of frames.

use std::fmt;

use crate::error::{Error, Result};
use crate::reactor::Balance;
use crate::sys::FdTables;

/// How a server's work is spread over threads. The handler is the same in all of them, and so is
/// each session's order.
///
/// ```text
/// single    [ accept · wait → recv → frame → handle → send → flush ]                 one thread
/// multi     [ accept ] ─socket→ [ wait → recv → frame → handle → send → flush ] × N   crosses once, at birth
/// workers   [ accept · wait → recv → frame ] ─lane→ [ handle ] × W ─mail→ [ send → flush ]  crosses twice per batch
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Topology {
    /// One reactor does everything, on the thread that runs the server.
    #[default]
    Single,
    /// Several reactors, each on a thread of its own; a session stays where it was born.
    Multi {
        /// How many, 1 to 255.
        reactors: usize,
        /// How callers come to them.
        accept: Accepting,
    },
    /// Reactors, and a pool of workers that run handlers: a session whose frames cost much delays no
    /// other. One worker at a time has a session, and takes its frames in their order. One reactor runs on
    /// the thread that runs the server; several are as in `Multi`, and share the pool.
    Workers {
        /// How many, 1 to 1,024.
        workers: usize,
        /// How many of these, 1 to 255.
        reactors: usize,
        /// How callers come to them, if they are several.
        accept: Accepting,
    },
}

/// How callers come to one of several reactors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accepting {
    /// One acceptor takes all callers, on the thread that runs the server, and hands each over.
    Handoff(Balance),
    /// Every reactor listens for itself and the kernel spreads the callers (`SO_REUSEPORT`,
    /// socket(7)); TCP only.
    ReusePort(FdTables),
}

impl Default for Accepting {
    fn default() -> Accepting {
        Accepting::Handoff(Balance::default())
    }
}

impl Topology {
    /// This many reactors, and an acceptor that hands them their callers in turn.
    pub fn multi(reactors: usize) -> Topology {
        Topology::Multi { reactors, accept: Accepting::default() }
    }

    /// One reactor, and this many workers.
    pub fn workers(workers: usize) -> Topology {
        Topology::Workers { workers, reactors: 1, accept: Accepting::default() }
    }

    pub(super) fn check(self) -> Result<()> {
        let (reactors, workers) = match self {
            Topology::Single => (1, 1),
            Topology::Multi { reactors, .. } => (reactors, 1),
            Topology::Workers { workers, reactors, .. } => (reactors, workers),
        };
        for (what, count, most) in
            [("reactors", reactors, REACTORS_MAX), ("workers", workers, WORKERS_MAX)]
        {
            if !(1..=most).contains(&count) {
                let why = format!("{count} {what} cannot be; 1 to {most} can");
                return Err(Error::settings(why));
            }
        }
        Ok(())
    }
}

/// A session's id has 8 bits for its reactor.
const REACTORS_MAX: usize = 255;
/// More threads than that are a mistake.
const WORKERS_MAX: usize = 1024;

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Topology::Single => "single",
            Topology::Multi { .. } => "multi",
            Topology::Workers { .. } => "workers",
        })
    }
}
