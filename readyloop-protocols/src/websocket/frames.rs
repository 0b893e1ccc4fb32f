//! Frames of RFC 6455, section 5.2, as a client sends them: cut, checked and unmasked.
//!
//! What a frame is for readyloop: the first byte of its header, then its payload, in the clear. So
//! whoever gets it sees whether it is the last of its message and what it carries, and nothing has
//! to be moved: the first byte takes the place of the last byte of the mask.
//!
//! It does not put messages together (see `messages`).

use readyloop::{Framer, Step};

use super::messages::Opcode;

/// The last frame of its message.
pub(super) const FIN: u8 = 0x80;
/// Bits for extensions, of which there are none.
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const MASK_BYTES: usize = 4;
/// The longest payload of a control frame (RFC 6455, section 5.5).
const CONTROL_BYTES_MAX: u64 = 125;

/// Cuts a client's stream into frames: each is the first byte of its header, with the opcode in its
/// lower half, and the payload in the clear.
///
/// ```
/// use readyloop::{Framer, Step};
/// use readyloop_protocols::websocket::Frames;
///
/// // The example of RFC 6455, section 5.7.
/// let mut input = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
/// assert_eq!(Frames::new(100).next(&mut input), Step::Frame { frame: 5..11, consumed: 11 });
/// assert_eq!(&input[5..], b"\x81Hello");
/// ```
#[derive(Clone, Debug)]
pub struct Frames {
    payload_bytes_max: u64,
}

/// Where a frame's parts lie, from its first byte on.
struct Lengths {
    header: usize,
    payload: u64,
}

impl Frames {
    /// Frames with a payload of at most so many bytes; longer ones are refused when their header is
    /// there.
    pub fn new(payload_bytes_max: usize) -> Frames {
        // What is longer than any slice can be is too long in any case.
        let most = payload_bytes_max.min(isize::MAX as usize / 2);
        Frames { payload_bytes_max: most as u64 }
    }
}

impl Framer for Frames {
    fn next(&mut self, input: &mut [u8]) -> Step {
        let lengths = match lengths(input) {
            Ok(lengths) => lengths,
            Err(step) => return step,
        };
        if lengths.payload > self.payload_bytes_max {
            return Step::TooLong;
        }
        let total = lengths.header + lengths.payload as usize;
        if input.len() < total {
            return Step::NeedMore { at_least: total };
        }
        let first = input[0];
        let (header, payload) = input[..total].split_at_mut(lengths.header);
        if let Some((_, mask)) = header.split_last_chunk::<MASK_BYTES>() {
            unmask(payload, *mask);
        }
        header[lengths.header - 1] = first;
        Step::Frame { frame: lengths.header - 1..total, consumed: total }
    }
}

/// Reads a header as far as it is there; the order of the checks is the order of the bytes, so the
/// answer does not depend on how many of them have come.
fn lengths(input: &[u8]) -> Result<Lengths, Step> {
    let more = |at_least| Err(Step::NeedMore { at_least });
    let [first, rest @ ..] = input else { return more(2) };
    let Some(opcode) = Opcode::of(*first) else { return Err(Step::Malformed("unknown opcode")) };
    if first & RESERVED != 0 {
        return Err(Step::Malformed("an extension that was not agreed on"));
    }
    if opcode.is_control() && first & FIN == 0 {
        return Err(Step::Malformed("a control frame in pieces"));
    }
    let [second, rest @ ..] = rest else { return more(2) };
    if second & MASKED == 0 {
        return Err(Step::Malformed("a frame that is not masked"));
    }
    let (wide, payload, least) = match second & !MASKED {
        126 => match rest.first_chunk::<2>() {
            Some(bytes) => (2, u64::from(u16::from_be_bytes(*bytes)), 126),
            None => return more(4),
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (8, u64::from_be_bytes(*bytes), 1 << 16),
            None => return more(10),
        },
        short => (0, u64::from(short), 0),
    };
    if payload < least || payload > i64::MAX as u64 {
        return Err(Step::Malformed("a length that is not spelled in the shortest way"));
    }
    if opcode.is_control() && payload > CONTROL_BYTES_MAX {
        return Err(Step::Malformed("a control frame that is too long"));
    }
    let header = 2 + wide + MASK_BYTES;
    if input.len() < header {
        return more(header);
    }
    Ok(Lengths { header, payload })
}

/// Byte i of the payload was combined with byte i modulo 4 of the mask (RFC 6455, section 5.3).
fn unmask(payload: &mut [u8], mask: [u8; MASK_BYTES]) {
    let wide = u64::from_ne_bytes([mask, mask].concat().try_into().unwrap_or_default());
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use readyloop::framers::walk::{self, End, Walked};

    use super::*;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// A frame as a client sends it.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            short @ ..126 => frame.push(0x80 | short as u8),
            middle @ ..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((middle as u16).to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    fn clear(first: u8, payload: &[u8]) -> Vec<u8> {
        [&[first], payload].concat()
    }

    const WHOLE: End = End::Waiting { left: 0 };

    #[test]
    fn frames_of_every_length_are_the_same_however_they_are_cut() {
        for length in [0, 1, 7, 8, 9, 125, 126, 127, 300] {
            let payload: Vec<u8> = (0..length).map(|nth| nth as u8).collect();
            let stream = [masked(0x82, &payload), masked(0x89, b"!")].concat();
            let walked = walk::every_split(|| Frames::new(300), &stream);
            let frames = [clear(0x82, &payload), clear(0x89, b"!")];
            assert_eq!(walked, Walked::new(&frames, WHOLE), "{length}");
        }
        for length in [65_535, 65_536] {
            let payload = vec![7; length];
            let stream = masked(0x01, &payload);
            let pieces = walk::pieces(&stream, &[1, 3, 5, 9, 13, 14, 40_000]);
            let walked = walk::arrivals(Frames::new(65_536), pieces);
            assert!(walked == Walked::new(&[clear(0x01, &payload)], WHOLE), "{length}");
        }
    }

    #[test]
    fn what_no_client_may_send_is_refused_however_it_is_cut() {
        let cases: [(&[u8], &str); 8] = [
            (b"\x83\x80\0\0\0\0", "unknown opcode"),
            (b"\xc1\x80\0\0\0\0", "an extension that was not agreed on"),
            (b"\x09\x80\0\0\0\0", "a control frame in pieces"),
            (b"\x81\x00\0\0\0\0", "a frame that is not masked"),
            (b"\x82\xfe\0\x7d\0\0\0\0", "a length that is not spelled in the shortest way"),
            (
                b"\x82\xff\0\0\0\0\0\0\xff\xff\0\0",
                "a length that is not spelled in the shortest way",
            ),
            (
                b"\x82\xff\x80\0\0\0\0\x01\0\0\0\0",
                "a length that is not spelled in the shortest way",
            ),
            (b"\x89\xfe\0\x7e\0\0\0\0", "a control frame that is too long"),
        ];
        for (stream, why) in cases {
            let walked = walk::every_split(|| Frames::new(1 << 20), stream);
            assert_eq!(walked.end, End::Malformed(why), "{stream:?}");
        }
    }

    #[test]
    fn a_payload_over_the_limit_is_refused_before_it_comes() {
        let whole = masked(0x82, &[1; 101]);
        assert_eq!(Frames::new(100).next(&mut whole[..6].to_vec()), Step::TooLong);
        assert_eq!(walk::every_split(|| Frames::new(100), &whole).end, End::TooLong);
        assert_eq!(walk::every_split(|| Frames::new(101), &whole).frames.len(), 1);
    }

    proptest! {
        #![proptest_config(crate::random_streams())]

        #[test]
        fn any_bytes_become_the_same_in_any_pieces(
            stream in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            walk::every_split(|| Frames::new(40), &stream);
        }
    }
}
