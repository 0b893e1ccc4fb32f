//! Why the program ends without having done what it was asked.

use std::fmt;
use std::path::Path;

use readyloop::Error;

/// Why, and whether other options would help.
#[derive(Debug)]
pub enum Failure {
    /// The library's reason, or options that contradict each other.
    Library(Error),
    /// Something that others did not do.
    Others(String),
}

impl Failure {
    /// An option names a file that cannot be written.
    pub fn cannot_write(option: &str, path: &Path, error: &dyn fmt::Display) -> Failure {
        Error::settings(format!("{option} {} cannot be written: {error}", path.display())).into()
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        match self {
            Failure::Library(error) if error.is_settings() => 2,
            Failure::Library(_) | Failure::Others(_) => 1,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Library(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Library(error) => error.fmt(f),
            Failure::Others(why) => f.write_str(why),
        }
    }
}
