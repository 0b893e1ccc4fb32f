//! What is written at the end of a run: a table on standard output, and files. Those are asked for
//! before it: that a file cannot be written must be known before the time is spent.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::failure::Failure;

/// Writes this to standard output.
///
/// # Errors
/// When it is lost there, as on a full disk.
pub fn tell(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    told(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// How writing to standard output went. A reader who has gone away has read enough.
///
/// # Errors
/// When it is lost there.
pub fn told(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Others(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// A file that will be written. What it holds stays until then; if it did not exist and is not
/// written, it is gone again.
#[derive(Debug)]
pub struct Output {
    option: &'static str,
    path: PathBuf,
    file: File,
    facts: Metadata,
    is_left_over: bool,
}

impl Output {
    /// Opens the file that an option names.
    ///
    /// # Errors
    /// When it cannot be written, with the option's name.
    pub fn open(option: &'static str, path: &Path) -> Result<Output, Failure> {
        let failed = |error| Failure::cannot_write(option, path, &error);
        let created = OpenOptions::new().write(true).create_new(true).open(path);
        let is_left_over = created.is_ok();
        let file = created.or_else(|_| open_existing(path)).map_err(failed)?;
        let facts = file.metadata().map_err(failed)?;
        Ok(Output { option, path: path.to_path_buf(), file, facts, is_left_over })
    }

    /// Whether both are one file, by whatever names. A pipe or a device takes both.
    pub fn is_same_file(&self, other: &Output) -> bool {
        let inode = |output: &Output| (output.facts.dev(), output.facts.ino());
        self.facts.is_file() && inode(self) == inode(other)
    }

    /// Writes this instead of what it holds.
    ///
    /// # Errors
    /// When it cannot be written after all, with the option's name.
    pub fn write(mut self, text: &str) -> Result<(), Failure> {
        self.is_left_over = false;
        let written = self.replace(text);
        written.map_err(|error| Failure::cannot_write(self.option, &self.path, &error))
    }

    fn replace(&mut self, text: &str) -> io::Result<()> {
        if self.facts.is_file() {
            self.file.set_len(0)?;
            self.file.rewind()?;
        }
        self.file.write_all(text.as_bytes())
    }
}

/// Opens what is there, and keeps what is in it. A pipe that nobody reads is an error and not waited
/// for (fifo(7)), because nobody may ever come.
fn open_existing(path: &Path) -> io::Result<File> {
    let nonblocking = OFlags::NONBLOCK.bits() as i32;
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false).custom_flags(nonblocking);
    let file = options.open(path)?;
    // A reader who has come may be slow.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.is_left_over {
            // An empty file hurts nobody.
            let _stays = fs::remove_file(&self.path);
        }
    }
}
