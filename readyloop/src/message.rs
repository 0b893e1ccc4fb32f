//! A message of another thread to a session's handler: a value of the user's own type.
//!
//! Its type is erased on the way, so that an inbox is the same for every server. Where it goes in
//! (`Remote::tell`) and where it comes out ([`Handler::on_message`]) are of one type, because a server
//! gives its `Remote` the message type of its handler.
//!
//! [`Handler::on_message`]: crate::Handler::on_message

use std::any::Any;
use std::fmt;

/// One message on its way. Dropping it runs code of the user's: never under a lock or a borrow.
pub struct Message {
    value: Box<dyn Any + Send>,
    bytes: u32,
}

impl Message {
    /// A message that owns so many bytes elsewhere in memory. A value without a size is not put into
    /// memory of its own.
    pub fn new<M: Send + 'static>(value: M, owned_bytes: usize) -> Message {
        let bytes = owned_bytes.saturating_add(size_of::<M>());
        Message { value: Box::new(value), bytes: u32::try_from(bytes).unwrap_or(u32::MAX) }
    }

    /// What it weighs: its own size, and what it was said to own. At most 4 GiB, so that no sum of
    /// weights overflows, whatever is declared.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// The value, if it is of this type.
    pub fn open<M: 'static>(self) -> Option<M> {
        self.value.downcast().ok().map(|value| *value)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_out_as_what_went_in_and_as_nothing_else() {
        assert_eq!(Message::new(7u64, 0).open::<u64>(), Some(7));
        assert_eq!(Message::new(7u64, 0).open::<u32>(), None);
        assert_eq!(Message::new((), 0).open::<()>(), Some(()));
    }

    #[test]
    fn a_message_weighs_its_size_and_what_it_was_said_to_own() {
        assert_eq!(Message::new([0u8; 10], 100).bytes(), 110);
        assert_eq!(Message::new((), 0).bytes(), 0);
        assert_eq!(Message::new(0u64, usize::MAX).bytes(), u32::MAX as usize);
    }
}
