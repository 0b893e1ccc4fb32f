//! Whole numbers, as Redis reads them: one spelling for each value, and no other.
//!
//! It exists because `str::parse` takes a leading plus and leading zeros, which Redis' `string2ll`
//! refuses; what one side takes for a number, the other must take for one too.

/// The digits of `i64::MIN`, with its sign.
const BYTES_MAX: usize = 20;

/// Reads a whole number: an optional minus, no plus, no leading zero, no space.
///
/// ```
/// use readyloop_protocols::resp::integer;
///
/// assert_eq!(integer(b"-17"), Some(-17));
/// assert_eq!(integer(b"017"), None);
/// assert_eq!(integer(b"9223372036854775808"), None);
/// ```
#[inline]
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let first = *digits.first()?;
    if first == b'0' && text.len() > 1 || text.len() > BYTES_MAX {
        return None;
    }
    let mut value = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(digit.into())?;
    }
    match negative {
        false => i64::try_from(value).ok(),
        true if value <= i64::MIN.unsigned_abs() => Some((value as i64).wrapping_neg()),
        true => None,
    }
}

/// Reads a header like `$5\r\n` whose number has one digit, or two of which the first is not 0, as
/// nearly all have: the number, and how long the header is. `None` says nothing: of any other, and
/// of one that is cut off.
///
/// Four bytes are looked at together: of what differs from the header of 0, nothing but digits may
/// be left. Of one digit, these are the header; of two, its LF is not looked at and may not be there.
#[inline(always)]
pub(super) fn short_header(bytes: &[u8], marker: u8) -> Option<(usize, usize)> {
    let word = u32::from_le_bytes(*bytes.first_chunk()?);
    let digit = (word ^ u32::from_le_bytes([marker, b'0', b'\r', b'\n'])).rotate_right(8);
    if digit <= 9 {
        return Some((digit as usize, 4));
    }
    let digits = word ^ u32::from_le_bytes([marker, b'0', b'0', b'\r']);
    // Six more than 9 reaches the upper half of a digit's byte.
    let beyond = (digits | digits.wrapping_add(0x0006_0600)) & 0xFFF0_F0FF;
    let (tens, ones) = (digits >> 8 & 0xF, digits >> 16 & 0xF);
    (beyond == 0 && tens > 0).then_some(((tens * 10 + ones) as usize, 5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_header_is_one_digit_or_two_that_spell_a_number() {
        for count in 0..=99 {
            let header = format!("${count}\r\n");
            let is = Some((count, header.len()));
            assert_eq!(short_header(header.as_bytes(), b'$'), is);
            assert_eq!(short_header(format!("{header}body").as_bytes(), b'$'), is);
            assert_eq!(short_header(header.as_bytes(), b'*'), None);
        }
    }

    #[test]
    fn no_other_header_is_a_short_one() {
        for other in ["", "$", "$1", "$1\r", "$12", "$-1\r\n", "$+1\r\n", "$ 1\r\n", "$01\r\n"] {
            assert_eq!(short_header(other.as_bytes(), b'$'), None, "{other:?}");
        }
        // Every byte in the place of each byte.
        for header in ["$7\r\n", "$42\r"] {
            for (place, right) in header.bytes().enumerate() {
                for byte in 0..=u8::MAX {
                    let mut bytes = header.as_bytes().to_vec();
                    bytes[place] = byte;
                    let digit = right.is_ascii_digit() && byte.is_ascii_digit();
                    let is = byte == right || digit && (byte != b'0' || bytes != b"$02\r");
                    assert_eq!(short_header(&bytes, b'$').is_some(), is, "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn every_number_has_one_spelling() {
        for value in [0, 1, -1, 10, -10, i64::MAX, i64::MIN, i64::MIN + 1] {
            assert_eq!(integer(value.to_string().as_bytes()), Some(value));
        }
    }

    #[test]
    fn what_string2ll_refuses_is_no_number() {
        let refused = [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "01",
            "-0",
            "-01",
            "00",
            "1.0",
            "1e3",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "100000000000000000000",
            "1\0",
        ];
        for text in refused {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }
}
