//! Names for what the kernel reports on: one `u64` that says which slot, and which life of that
//! slot.
//!
//! The token travels in `epoll_data`, so finding a session is an array index, and an event (or a
//! late send) for a session that has died finds nobody, also when the kernel reused its descriptor.
//!
//! Invariants: the generation of a session's slot is odd, and that of a name that was given before there was
//! a slot is even; generation 0 marks the reactor's own fixtures.

use std::fmt;

/// Bits of a token that hold the slot's index: 16,777,216 sessions for each reactor.
const INDEX_BITS: u32 = 24;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// One more than the largest index that a [`SessionId`] can hold.
pub const INDEX_END: usize = 1 << INDEX_BITS;

/// One session, named for its whole life: a slot's index, the slot's generation, and the reactor
/// that owns it.
///
/// It is `Copy` and `Send`, and it stays safe after the session's end: whoever uses a stale id
/// reaches nobody. A slot's generation wraps after 2,147,483,647 sessions in that one slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// The name of no session; whatever is sent to it reaches nobody.
    pub const NONE: SessionId = SessionId(0);

    /// Names the life `generation` of the slot `index` of `reactor`.
    ///
    /// # Panics
    /// In debug builds, when `index` is not below [`INDEX_END`].
    pub const fn new(reactor: u8, index: u32, generation: u32) -> SessionId {
        debug_assert!((index as usize) < INDEX_END);
        SessionId((generation as u64) << 32 | (reactor as u64) << INDEX_BITS | index as u64)
    }

    /// The slot, as an index into the owning reactor's tables.
    #[inline]
    pub fn index(self) -> usize {
        (self.0 & INDEX_MASK) as usize
    }

    /// Which life of the slot this is; 0 only for [`SessionId::NONE`].
    #[inline]
    pub fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The reactor that owns the session for life.
    #[inline]
    pub fn reactor(self) -> u8 {
        (self.0 >> INDEX_BITS) as u8
    }

    /// The id that was once taken with [`SessionId::to_bits`].
    pub(crate) fn from_bits(bits: u64) -> SessionId {
        SessionId(bits)
    }

    /// The `nth` name of all that are given to sessions of a reactor before it has a slot for them: 2^55
    /// names. Its generation is even, as that of no slot is.
    pub(crate) fn ahead(reactor: u8, nth: u64) -> SessionId {
        let (generation, index) = (nth >> INDEX_BITS, nth & INDEX_MASK);
        SessionId::new(reactor, index as u32, 2 * (generation as u32 + 1))
    }

    /// Whether the session was named before it had a slot; or none was named.
    #[inline]
    pub(crate) fn is_named_ahead(self) -> bool {
        self.generation().is_multiple_of(2)
    }

    /// The id as one number, for logs and for maps of the user's own.
    #[inline]
    pub fn to_bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    /// `reactor.index.generation`, as in `0.17.3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.reactor(), self.index(), self.generation())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// What the kernel hands back with an event: a session's id, or one of the reactor's fixtures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token(u64);

/// A token, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A session, perhaps one that is dead by now.
    Session(SessionId),
    /// The listener with this number.
    Listener(usize),
    /// The waker: there may be mail.
    Waker,
    /// The signal pipe: somebody asked the process to end.
    Signals,
}

impl Token {
    /// The waker's token.
    pub const WAKER: Token = Token(INDEX_MASK);
    /// The signal pipe's token.
    pub const SIGNALS: Token = Token(INDEX_MASK - 1);

    /// The token of a session.
    #[inline]
    pub fn session(id: SessionId) -> Token {
        Token(id.0)
    }

    /// The token of the listener with this number.
    pub fn listener(number: usize) -> Token {
        debug_assert!(number < (INDEX_MASK - 1) as usize);
        Token(number as u64)
    }

    /// Reads a token back from the kernel's `u64`.
    #[inline]
    pub fn from_bits(bits: u64) -> Token {
        Token(bits)
    }

    /// The token as the kernel carries it.
    #[inline]
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// What the token stands for.
    #[inline]
    pub fn source(self) -> Source {
        if self.0 >> 32 != 0 {
            return Source::Session(SessionId(self.0));
        }
        match self {
            Token::WAKER => Source::Waker,
            Token::SIGNALS => Source::Signals,
            Token(number) => Source::Listener(number as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_gives_back_its_three_parts() {
        let id = SessionId::new(255, (INDEX_END - 1) as u32, u32::MAX);
        assert_eq!((id.reactor(), id.index(), id.generation()), (255, INDEX_END - 1, u32::MAX));
        assert_eq!(SessionId::new(2, 17, 3).to_string(), "2.17.3");
    }

    #[test]
    fn every_token_reads_back_as_what_it_was_made_from() {
        let id = SessionId::new(0, 0, 1);
        assert_eq!(Token::session(id).source(), Source::Session(id));
        assert_eq!(Token::listener(5).source(), Source::Listener(5));
        assert_eq!(Token::WAKER.source(), Source::Waker);
        assert_eq!(Token::SIGNALS.source(), Source::Signals);
    }
}
