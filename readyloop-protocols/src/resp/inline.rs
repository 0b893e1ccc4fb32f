//! Commands as people type them: `SET key "a value"`.
//!
//! It exists for telnet and for `redis-cli`'s older cousins. A line is rewritten as the array that a
//! client would have sent, so a server has one way to read arguments; a line costs that copy.
//!
//! Source: `sdssplitargs` of Redis. Words are parted by space; double quotes know `\n \r \t \b \a
//! \xHH` and otherwise drop the backslash; single quotes know `\'` only; a closing quote must be
//! followed by space or by the end.

/// What Redis says behind `Protocol error: ` to [`Unbalanced`].
pub const UNBALANCED_QUOTES: &str = "unbalanced quotes in request";

/// A quote that is not closed, or not followed by space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unbalanced;

/// Whether a frame of [`Commands`](super::Commands) is a line and not an array.
#[inline]
pub fn is_inline(frame: &[u8]) -> bool {
    frame.first() != Some(&b'*')
}

/// Appends the array that means the same as this line; an empty line is an array of nothing.
///
/// # Errors
/// [`Unbalanced`], for quotes that are.
///
/// ```
/// use readyloop_protocols::resp::write_as_array;
///
/// let mut array = Vec::new();
/// write_as_array(br#"GET "a key""#, &mut array).unwrap();
/// assert_eq!(array, b"*2\r\n$3\r\nGET\r\n$5\r\na key\r\n");
/// ```
pub fn write_as_array(line: &[u8], array: &mut Vec<u8>) -> Result<(), Unbalanced> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start_c();
    while !rest.is_empty() {
        let mut word = Vec::new();
        rest = read_word(rest, &mut word)?.trim_ascii_start_c();
        words.push(word);
    }
    header(array, b'*', words.len());
    for word in &words {
        header(array, b'$', word.len());
        array.extend_from_slice(word);
        array.extend_from_slice(b"\r\n");
    }
    Ok(())
}

fn header(array: &mut Vec<u8>, marker: u8, count: usize) {
    array.push(marker);
    array.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    array.extend_from_slice(b"\r\n");
}

/// What C calls space; Rust's `trim_ascii` does not count the vertical tab.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

trait TrimC {
    fn trim_ascii_start_c(&self) -> &Self;
}

impl TrimC for [u8] {
    fn trim_ascii_start_c(&self) -> &[u8] {
        let spaces = self.iter().take_while(|byte| is_space(**byte)).count();
        &self[spaces..]
    }
}

/// Reads one word; returns what is behind it. A quoted piece may begin inside of a word, and ends
/// it.
fn read_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        match rest {
            [] => return Ok(rest),
            [b'"', behind @ ..] => return after_quote(read_double(behind, word)?),
            [b'\'', behind @ ..] => return after_quote(read_single(behind, word)?),
            [byte, ..] if is_space(*byte) || *byte == 0 => return Ok(&rest[1..]),
            [byte, behind @ ..] => {
                word.push(*byte);
                rest = behind;
            }
        }
    }
}

fn after_quote(rest: &[u8]) -> Result<&[u8], Unbalanced> {
    match rest.first() {
        Some(byte) if !is_space(*byte) => Err(Unbalanced),
        _ => Ok(rest),
    }
}

/// Reads up to the closing double quote.
fn read_double<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        let (byte, behind) = match rest {
            [] => return Err(Unbalanced),
            [b'"', behind @ ..] => return Ok(behind),
            [b'\\', b'x', high, low, behind @ ..] if both_hex(*high, *low) => {
                (hex(*high) << 4 | hex(*low), behind)
            }
            [b'\\', escaped, behind @ ..] => (unescaped(*escaped), behind),
            [byte, behind @ ..] => (*byte, behind),
        };
        word.push(byte);
        rest = behind;
    }
}

/// Reads up to the closing single quote.
fn read_single<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        let (byte, behind) = match rest {
            [] => return Err(Unbalanced),
            [b'\'', behind @ ..] => return Ok(behind),
            [b'\\', b'\'', behind @ ..] => (b'\'', behind),
            [byte, behind @ ..] => (*byte, behind),
        };
        word.push(byte);
        rest = behind;
    }
}

fn both_hex(high: u8, low: u8) -> bool {
    high.is_ascii_hexdigit() && low.is_ascii_hexdigit()
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Arguments;

    fn words(line: &str) -> Result<Vec<Vec<u8>>, Unbalanced> {
        let mut array = Vec::new();
        write_as_array(line.as_bytes(), &mut array)?;
        Ok(Arguments::of_array(&array).map(<[u8]>::to_vec).collect())
    }

    #[track_caller]
    fn becomes(line: &str, expected: &[&[u8]]) {
        assert_eq!(words(line).unwrap(), expected, "{line}");
    }

    #[test]
    fn words_are_parted_by_any_space() {
        becomes("SET key value", &[b"SET", b"key", b"value"]);
        becomes(" \t SET \x0b\x0c key\r", &[b"SET", b"key"]);
        becomes("", &[]);
        becomes("   ", &[]);
    }

    #[test]
    fn double_quotes_know_escapes() {
        becomes(r#"a "b c" "" "\n\r\t\b\a\"\\\q""#, &[b"a", b"b c", b"", b"\n\r\t\x08\x07\"\\q"]);
        becomes(r#""\x00\xfF\xg0""#, &[b"\x00\xffxg0"]);
        becomes(r#"a"b c""#, &[b"ab c"]);
    }

    #[test]
    fn single_quotes_know_only_themselves() {
        becomes(r"'a\nb' 'it\'s'", &[br"a\nb", b"it's"]);
    }

    #[test]
    fn a_quote_must_be_closed_and_followed_by_space() {
        for line in [r#"a "b"#, "a 'b", r#""a"b"#, "'a'b", r#""a\""#, r#"""""#, r"'a\'"] {
            assert_eq!(words(line), Err(Unbalanced), "{line}");
        }
    }
}
