//! The end of a connection, as the two sides tell it each other (RFC 6455, section 7).

use readyloop::CloseReason;

/// A status code: why a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Code(u16);

impl Code {
    /// All was said.
    pub(super) const NORMAL: Code = Code(1000);
    /// The server stops, or waits no longer.
    pub(super) const GOING_AWAY: Code = Code(1001);
    /// The peer broke the protocol.
    pub(super) const PROTOCOL_ERROR: Code = Code(1002);
    /// A kind of message that is not taken.
    pub(super) const UNSUPPORTED: Code = Code(1003);
    /// Text that is not UTF-8.
    pub(super) const NOT_UTF8: Code = Code(1007);
    /// A message that is too long.
    pub(super) const TOO_LONG: Code = Code(1009);
    /// The server failed.
    pub(super) const INTERNAL_ERROR: Code = Code(1011);

    /// The code that stands for the end of a session by the reactor's decision.
    pub(super) fn of(reason: CloseReason) -> Code {
        match reason {
            CloseReason::Malformed(_) => Code::PROTOCOL_ERROR,
            CloseReason::FrameTooLong => Code::TOO_LONG,
            CloseReason::IdleTimeout | CloseReason::HandshakeTimeout | CloseReason::Stopped => {
                Code::GOING_AWAY
            }
            _ => Code::INTERNAL_ERROR,
        }
    }

    /// What the handler behind is told of an end for which the peer is to blame.
    pub(super) fn reason(self) -> CloseReason {
        match self {
            Code::TOO_LONG => CloseReason::FrameTooLong,
            Code::UNSUPPORTED => CloseReason::Malformed("a message of the other kind"),
            Code::NOT_UTF8 => CloseReason::Malformed("text that is not UTF-8"),
            _ => CloseReason::Malformed("pieces of messages out of order"),
        }
    }

    /// What a peer may send: the codes of the registry that are not reserved for other uses, and
    /// those for libraries and applications (RFC 6455, section 7.4).
    fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// The whole frame that tells it to the peer.
    pub(super) fn frame(self) -> [u8; 4] {
        let [high, low] = self.0.to_be_bytes();
        [0x88, 2, high, low]
    }
}

/// What the payload of the peer's close frame asks us to answer.
pub(super) fn answer_to(payload: &[u8]) -> Code {
    match payload {
        // No code was given, so ours can only be this one.
        [] => Code::NORMAL,
        [_] => Code::PROTOCOL_ERROR,
        [high, low, reason @ ..] => {
            let code = Code(u16::from_be_bytes([*high, *low]));
            match std::str::from_utf8(reason) {
                Err(_) => Code::NOT_UTF8,
                Ok(_) if code.may_be_sent() => code,
                Ok(_) => Code::PROTOCOL_ERROR,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_code_is_echoed_and_a_bad_one_is_answered_with_what_is_bad() {
        let cases: [(&[u8], u16); 9] = [
            (b"", 1000),
            (b"\x03", 1002),
            (b"\x03\xe8", 1000),
            (b"\x03\xe9bye", 1001),
            (b"\x0f\xa1", 4001),
            (b"\x03\xed", 1002),
            (b"\x03\xe7", 1002),
            (b"\x13\x88", 1002),
            (b"\x03\xe8\xff", 1007),
        ];
        for (payload, code) in cases {
            assert_eq!(answer_to(payload), Code(code), "{payload:?}");
        }
    }

    #[test]
    fn a_close_frame_carries_its_code_and_nothing_else() {
        assert_eq!(Code::TOO_LONG.frame(), [0x88, 2, 0x03, 0xf1]);
    }
}
