//! Messages: what one or several frames carry together (RFC 6455, sections 5.4 to 5.6).

use super::close::Code;
use super::frames::FIN;

/// What messages carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Text, in UTF-8: what a browser gives to a script as a string.
    Text,
    /// Bytes.
    Binary,
}

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opcode {
    Continuation,
    Data(Kind),
    Close,
    Ping,
    Pong,
}

impl Opcode {
    /// The opcode in the first byte of a frame.
    pub(super) fn of(first: u8) -> Option<Opcode> {
        Some(match first & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Data(Kind::Text),
            2 => Opcode::Data(Kind::Binary),
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// A message that comes in pieces, as far as it has come. Nothing, for most.
#[derive(Debug, Default)]
pub(super) struct Pieces(Option<Vec<u8>>);

/// What became of a piece.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Piece {
    /// There will be more.
    More,
    /// The message is the frame's payload, and nothing else.
    Alone,
    /// The message is this.
    Last(Vec<u8>),
}

impl Pieces {
    /// Takes the next data frame of messages of this kind, each at most `bytes_max` long.
    ///
    /// # Errors
    /// With the code to close with, what no peer may send.
    pub(super) fn take(
        &mut self,
        kind: Kind,
        bytes_max: usize,
        opcode: Opcode,
        frame: &[u8],
    ) -> Result<Piece, Code> {
        let (is_last, payload) = (frame[0] & FIN != 0, &frame[1..]);
        match (opcode, &mut self.0) {
            (Opcode::Data(_), Some(_)) | (Opcode::Continuation, None) => {
                return Err(Code::PROTOCOL_ERROR);
            }
            (Opcode::Data(other), None) if other != kind => return Err(Code::UNSUPPORTED),
            (Opcode::Data(_), None) if is_last => {
                return check(kind, payload).map(|()| Piece::Alone);
            }
            (_, so_far) => {
                let message = so_far.get_or_insert_default();
                if message.len() + payload.len() > bytes_max {
                    return Err(Code::TOO_LONG);
                }
                message.extend_from_slice(payload);
            }
        }
        if !is_last {
            return Ok(Piece::More);
        }
        let message = self.0.take().unwrap_or_default();
        check(kind, &message).map(|()| Piece::Last(message))
    }
}

fn check(kind: Kind, message: &[u8]) -> Result<(), Code> {
    match kind {
        Kind::Text if std::str::from_utf8(message).is_err() => Err(Code::NOT_UTF8),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(pieces: &mut Pieces, kind: Kind, first: u8, payload: &[u8]) -> Result<Piece, Code> {
        let frame = [&[first], payload].concat();
        pieces.take(kind, 10, Opcode::of(first).unwrap(), &frame)
    }

    #[test]
    fn pieces_become_one_message_and_a_whole_one_is_not_copied() {
        let mut pieces = Pieces::default();
        let mut next = |first, payload: &[u8]| take(&mut pieces, Kind::Text, first, payload);
        assert_eq!(next(0x81, b"whole"), Ok(Piece::Alone));
        // The pieces may end within a character.
        assert_eq!(next(0x01, b"\xc3"), Ok(Piece::More));
        assert_eq!(next(0x00, b""), Ok(Piece::More));
        assert_eq!(next(0x80, b"\xa4!"), Ok(Piece::Last("ä!".into())));
        assert_eq!(next(0x81, b""), Ok(Piece::Alone));
    }

    #[test]
    fn what_is_no_message_is_told_by_its_code() {
        type Frame = (u8, &'static [u8]);
        let cases: [(Kind, &[Frame], Code); 7] = [
            (Kind::Text, &[(0x80, b"nothing to go on with")], Code::PROTOCOL_ERROR),
            (Kind::Text, &[(0x01, b"one"), (0x81, b"another")], Code::PROTOCOL_ERROR),
            (Kind::Text, &[(0x82, b"bytes")], Code::UNSUPPORTED),
            (Kind::Binary, &[(0x01, b"text")], Code::UNSUPPORTED),
            (Kind::Text, &[(0x81, b"\xff")], Code::NOT_UTF8),
            (Kind::Text, &[(0x01, b"\xc3"), (0x80, b"(")], Code::NOT_UTF8),
            (Kind::Text, &[(0x01, b"123456"), (0x00, b"78901")], Code::TOO_LONG),
        ];
        for (kind, frames, code) in cases {
            let mut pieces = Pieces::default();
            let results: Vec<_> = frames
                .iter()
                .map(|(first, payload)| take(&mut pieces, kind, *first, payload))
                .collect();
            assert_eq!(results.last(), Some(&Err(code)), "{frames:?}");
        }
        let mut pieces = Pieces::default();
        assert_eq!(take(&mut pieces, Kind::Binary, 0x82, b"\xff"), Ok(Piece::Alone));
    }
}
