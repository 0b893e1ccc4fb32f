//! What becomes of a message on its way to a session's peer.
//!
//! It exists so that a layer can stand between the handlers and one session's peer: whoever sends
//! to that session, by its id, in a group or from another thread, does not know that its peer wants
//! every message in a frame of its own, or encrypted, or compressed.
//!
//! There are two forms. A [`Header`] follows from a message's length alone: it needs no state, so bytes
//! that many sessions share stay shared. An [`Encoder`] has state, one object for each session.

use std::fmt;

/// Transforms everything that is sent to one session, with state: a cipher, a compression.
///
/// Each message that is sent to the session, by whomever (its own handler, other sessions, groups, a
/// `Remote`), passes through its encoder exactly once, in the order in which messages leave, on the
/// thread of the reactor that has the session. What is not sent is not encoded: what a slow member of a
/// group misses, or what comes after the session was closed.
///
/// A message is what one call sends, also an empty one: `encode` is called for that too, and what it
/// writes then leaves.
///
/// An encoder has no [`Context`](crate::Context): it can ask for nothing, and is never called while it
/// runs. It must not wait, because all sessions of the reactor wait with it. It may own a `Remote`: what
/// that is asked for is done later, as always. (But one that sends to its own session whenever it encodes
/// keeps itself busy for ever.)
///
/// If it panics, the session ends with [`CloseReason::HandlerPanicked`](crate::CloseReason), whoever has
/// sent the message; nothing of that message leaves, and nobody else is hurt.
///
/// ```
/// use readyloop::{Context, Encoder, Encoding};
///
/// /// Each byte is combined with a counter: no cipher for secrets, but as easily lost track of as one.
/// struct Counter(u8);
///
/// impl Encoder for Counter {
///     fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
///         for byte in message {
///             out.push(byte ^ self.0);
///             self.0 = self.0.wrapping_add(1);
///         }
///     }
///
///     fn encoded_bytes_max(bytes: usize) -> usize {
///         bytes
///     }
/// }
///
/// fn agree(context: &mut Context<'_>) {
///     context.send(b"this is plain; from now on:");
///     context.set_encoding(Encoding::stateful(Counter(1)));
///     context.send(b"ab");
/// }
///
/// let (mut counter, mut out) = (Counter(1), Vec::new());
/// counter.encode(b"ab", &mut out);
/// counter.encode(b"ab", &mut out);
/// assert_eq!(out, [b'a' ^ 1, b'b' ^ 2, b'a' ^ 3, b'b' ^ 4]);
/// # let _ = agree;
/// ```
pub trait Encoder: Send + 'static {
    /// Writes to `out`, which is empty, what is to leave for this message.
    fn encode(&mut self, message: &[u8], out: &mut Vec<u8>);

    /// How long a message of so many bytes can become. It is counted as that long (and never as shorter
    /// than it is) when it is asked whether the send queue has room for it, which must be the same
    /// everywhere, also on a worker, which does not encode.
    ///
    /// If `encode` writes more, that leaves too; but the session may end with
    /// [`CloseReason::SendFull`](crate::CloseReason) though `send` has returned `true`.
    fn encoded_bytes_max(bytes: usize) -> usize
    where
        Self: Sized;

    /// Writes to `out`, which is empty, what leaves last when the session is closed; not when it is cut
    /// off. These bytes are sent as they are: what the peer must decode, this encodes by itself.
    fn closing(&mut self, out: &mut Vec<u8>) {
        let _nothing = out;
    }
}

/// What goes ahead of everything that is sent to a session: each send is one message, and gets a head of
/// its own.
///
/// ```
/// use readyloop::{Context, Encoding, Header, HeaderBytes};
///
/// /// Each message behind its length.
/// static COUNTED: Header = Header {
///     head: |bytes| HeaderBytes::new(&(bytes as u32).to_be_bytes()),
///     closing: b"\0\0\0\0",
/// };
///
/// fn greet(context: &mut Context<'_>) {
///     context.set_encoding(Encoding::header(&COUNTED));
///     context.send(b"hello");
/// }
/// assert_eq!((COUNTED.head)(5).as_slice(), b"\0\0\0\x05");
/// # let _ = greet;
/// ```
#[derive(Debug)]
pub struct Header {
    /// What goes ahead of a message of so many bytes. A panic ends the session, as an [`Encoder`]'s does.
    pub head: fn(usize) -> HeaderBytes,
    /// What is sent last when the session is closed; not when it is cut off.
    pub closing: &'static [u8],
}

/// What goes ahead of one message.
#[derive(Clone, Copy)]
pub struct HeaderBytes {
    bytes: [u8; HeaderBytes::MAX],
    count: u8,
}

impl HeaderBytes {
    /// The longest head, in bytes. WebSocket needs 10 (RFC 6455, section 5.2).
    pub const MAX: usize = 15;

    /// A head of these bytes.
    ///
    /// # Panics
    /// When there are more than [`HeaderBytes::MAX`].
    pub fn new(bytes: &[u8]) -> HeaderBytes {
        let mut head = HeaderBytes { bytes: [0; HeaderBytes::MAX], count: 0 };
        head.bytes[..bytes.len()].copy_from_slice(bytes);
        head.count = bytes.len() as u8;
        head
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.count as usize]
    }
}

impl fmt::Debug for HeaderBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

/// How what is sent to a session is encoded, if it is: see [`Context::set_encoding`].
///
/// [`Context::set_encoding`]: crate::Context::set_encoding
#[derive(Debug)]
pub struct Encoding(Encode);

/// One of the two forms, or none.
#[derive(Debug)]
enum Encode {
    No,
    Header(&'static Header),
    Stateful(Box<Stateful>),
}

/// An encoder, and what is asked of it without itself.
pub(crate) struct Stateful<E: ?Sized = dyn Encoder> {
    bytes_max: fn(usize) -> usize,
    pub(crate) encoder: E,
}

impl Encoding {
    /// Messages leave as they are.
    pub const NONE: Encoding = Encoding(Encode::No);

    /// Each message leaves behind a head, which follows from its length.
    pub fn header(header: &'static Header) -> Encoding {
        Encoding(Encode::Header(header))
    }

    /// Messages leave as this object encodes them, one after the other.
    pub fn stateful<E: Encoder>(encoder: E) -> Encoding {
        let bytes_max = E::encoded_bytes_max;
        Encoding(Encode::Stateful(Box::new(Stateful { bytes_max, encoder })))
    }

    /// The object, if it is one.
    pub(crate) fn into_encoder(self) -> Option<Box<Stateful>> {
        match self.0 {
            Encode::Stateful(stateful) => Some(stateful),
            Encode::No | Encode::Header(_) => None,
        }
    }

    /// What can be known of it elsewhere.
    pub(crate) fn form(&self) -> Form {
        match &self.0 {
            Encode::No => Form::Plain,
            Encode::Header(header) => Form::Header(header),
            Encode::Stateful(stateful) => stateful.form(),
        }
    }
}

impl Stateful {
    /// What can be known of it elsewhere.
    pub(crate) fn form(&self) -> Form {
        Form::Stateful(self.bytes_max)
    }
}

impl fmt::Debug for Stateful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stateful").finish_non_exhaustive()
    }
}

/// An encoding without its state: all that is known of it where messages are sent.
#[derive(Clone, Copy, Debug, Default)]
pub enum Form {
    /// Messages leave as they are.
    #[default]
    Plain,
    /// Each behind a head.
    Header(&'static Header),
    /// By an encoder, which makes them so long at the most.
    Stateful(fn(usize) -> usize),
}

/// Of what is said to become longer than that, nobody knows how long it becomes.
const ENCODED_MAX: usize = usize::MAX / 4;

impl Form {
    /// Whether messages leave as they are.
    #[inline(always)]
    pub fn is_plain(self) -> bool {
        matches!(self, Form::Plain)
    }

    /// How long a message of so many bytes is when it leaves, at the most; never less than it was, and never
    /// so long that a sum of such lengths could overflow.
    pub fn encoded_bytes_max(self, bytes: usize) -> usize {
        match self {
            Form::Plain => bytes,
            Form::Header(header) => bytes + (header.head)(bytes).as_slice().len(),
            Form::Stateful(encoded) => encoded(bytes).min(ENCODED_MAX).max(bytes),
        }
    }
}
