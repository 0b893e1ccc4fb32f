//! How far something has come, for whoever looks at a terminal.

use std::io::{self, IsTerminal, Write};

/// A line on the terminal that is written over.
#[derive(Default)]
pub struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Shows this in its place.
    pub fn show(&mut self, text: &str) {
        if io::stderr().is_terminal() {
            self.is_shown = true;
            // Nobody has to see it.
            let _unseen = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }

    /// The line is gone.
    pub fn clear(&self) {
        if self.is_shown {
            let _unseen = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
