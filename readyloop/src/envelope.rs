//! What is put around everything that is sent to a session.
//!
//! It exists so that a layer can stand between the handlers and one session's peer: whoever sends
//! to that session, by its id, in a group or from another thread, does not know that its peer wants
//! every message in a frame of its own. It is not a codec: what it adds follows from a message's
//! length alone, so it needs no state, and bytes that many sessions share stay shared.

use std::fmt;

/// How what is sent to a session is wrapped: each send is one message, and gets a head of its own.
///
/// ```
/// use readyloop::{Context, Envelope, EnvelopeHead};
///
/// /// Each message behind its length.
/// static COUNTED: Envelope = Envelope {
///     head: |bytes| EnvelopeHead::new(&(bytes as u32).to_be_bytes()),
///     farewell: b"\0\0\0\0",
/// };
///
/// fn greet(context: &mut Context<'_>) {
///     context.set_envelope(Some(&COUNTED));
///     context.send(b"hello");
/// }
/// assert_eq!((COUNTED.head)(5).as_slice(), b"\0\0\0\x05");
/// # let _ = greet;
/// ```
#[derive(Debug)]
pub struct Envelope {
    /// What goes ahead of a message of so many bytes.
    pub head: fn(usize) -> EnvelopeHead,
    /// What is sent last when the session is closed; not when it is cut off.
    pub farewell: &'static [u8],
}

/// What goes ahead of one message.
#[derive(Clone, Copy)]
pub struct EnvelopeHead {
    bytes: [u8; EnvelopeHead::BYTES_MAX],
    count: u8,
}

impl EnvelopeHead {
    /// The longest head, in bytes. WebSocket needs 10 (RFC 6455, section 5.2).
    pub const BYTES_MAX: usize = 15;

    /// A head of these bytes.
    ///
    /// # Panics
    /// When there are more than [`EnvelopeHead::BYTES_MAX`].
    pub fn new(bytes: &[u8]) -> EnvelopeHead {
        let mut head = EnvelopeHead { bytes: [0; EnvelopeHead::BYTES_MAX], count: 0 };
        head.bytes[..bytes.len()].copy_from_slice(bytes);
        head.count = bytes.len() as u8;
        head
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.count as usize]
    }
}

impl fmt::Debug for EnvelopeHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}
