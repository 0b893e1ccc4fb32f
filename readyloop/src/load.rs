//! How much of a mailbox something takes.

use std::ops::{AddAssign, SubAssign};

/// What mails take of the bounds of a mailbox: how many they are, and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// Commands, and pieces of work that are to be run.
    pub mails: usize,
    /// The bytes that they carry, and [`MAIL_BYTES`] for each of them.
    pub bytes: usize,
}

/// What a mail counts for besides the bytes that it carries: its place in the mailbox, and the
/// header of its bytes.
pub const MAIL_BYTES: usize = 64;

impl Load {
    /// No bound at all.
    pub const MAX: Load = Load { mails: usize::MAX, bytes: usize::MAX };

    /// One mail that carries so many bytes.
    pub const fn of_one(bytes: usize) -> Load {
        Load { mails: 1, bytes: MAIL_BYTES + bytes }
    }

    /// Whether any of these bounds is reached.
    pub fn reaches(self, bounds: Load) -> bool {
        self.mails >= bounds.mails || self.bytes >= bounds.bytes
    }

    /// Half of both.
    pub fn half(self) -> Load {
        Load { mails: self.mails / 2, bytes: self.bytes / 2 }
    }

    /// Whether both are at most those.
    pub fn is_within(self, bounds: Load) -> bool {
        self.mails <= bounds.mails && self.bytes <= bounds.bytes
    }
}

impl AddAssign for Load {
    fn add_assign(&mut self, more: Load) {
        self.mails += more.mails;
        self.bytes += more.bytes;
    }
}

impl SubAssign for Load {
    fn sub_assign(&mut self, less: Load) {
        self.mails -= less.mails;
        self.bytes -= less.bytes;
    }
}
