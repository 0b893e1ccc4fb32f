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

/// Reads a header like `$5\r\n` whose number has one digit or two, the first not 0, as nearly all
/// have: the number, and how long the header is. `None` for any other, and for one that is cut off.
/// Whether the last byte is LF is not looked at.
#[inline(always)]
pub(super) fn short_header(bytes: &[u8], marker: u8) -> Option<(usize, usize)> {
    let (first, rest) = match bytes {
        [found, first, rest @ ..] if *found == marker => (first.wrapping_sub(b'1'), rest),
        _ => return None,
    };
    if first > 8 {
        return None;
    }
    let first = usize::from(first) + 1;
    match rest {
        [b'\r', _, ..] => Some((first, 4)),
        [second, b'\r', _, ..] if second.is_ascii_digit() => {
            Some((first * 10 + usize::from(second - b'0'), 5))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_header_is_one_or_two_digits_and_all_there() {
        assert_eq!(short_header(b"$7\r\n", b'$'), Some((7, 4)));
        assert_eq!(short_header(b"*42\r\nx", b'*'), Some((42, 5)));
        for other in
            ["", "$", "$1", "$1\r", "$12\r", "$0\r\n", "$-1\r\n", "$123\r\n", "*1\r\n", "$1x\r\n"]
        {
            assert_eq!(short_header(other.as_bytes(), b'$'), None, "{other:?}");
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
