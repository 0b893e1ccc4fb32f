//! Patterns as Redis knows them: `*`, `?`, `[abc]`, `[^a-z]`, and `\` before any of them.
//!
//! It exists because KEYS, SCAN, PSUBSCRIBE and CONFIG GET mean these and no others: patterns of
//! paths give `/` and `**` a meaning, these do not, and they match bytes, not text. An unclosed
//! bracket is closed by the end, as there.
//!
//! The time is at most the product of the lengths, also for patterns of many stars.

/// Whether a text is what a pattern says.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where to go on if what follows the last star does not fit: one byte more belongs to the star.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            star = Some((at, read));
            continue;
        }
        if at == pattern.len() && read == text.len() {
            return true;
        }
        let fits = text.get(read).and_then(|&byte| one(&pattern[at..], byte));
        match (fits, star) {
            (Some(bytes), _) => {
                at += bytes;
                read += 1;
            }
            (None, Some((behind, eaten))) if eaten < text.len() => {
                star = Some((behind, eaten + 1));
                (at, read) = (behind, eaten + 1);
            }
            (None, _) => return false,
        }
    }
}

/// How many bytes of the pattern, which does not begin with a star, mean this byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', set @ ..] => {
            let (holds, bytes) = class(set, byte);
            holds.then_some(1 + bytes)
        }
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [plain, ..] => (*plain == byte).then_some(1),
    }
}

/// Whether what stands behind a bracket holds a byte, and how long it is, with its own bracket.
fn class(set: &[u8], byte: u8) -> (bool, usize) {
    let negated = set.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut holds = false;
    loop {
        match &set[at.min(set.len())..] {
            [] => break,
            [b'\\', escaped, ..] => {
                holds |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [low, b'-', high, ..] => {
                holds |= (low.min(high)..=low.max(high)).contains(&&byte);
                at += 3;
            }
            [plain, ..] => {
                holds |= *plain == byte;
                at += 1;
            }
        }
    }
    (holds != negated, at)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_mean_what_they_mean_to_redis() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything/at all", true),
            ("a*", "a", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("**", "x", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("[a-c]", "b", true),
            ("[c-a]", "b", true),
            ("[a-c]", "d", false),
            ("[]", "a", false),
            ("[a", "a", true),
            ("[^", "a", true),
            ("[\\]]", "]", true),
            ("[a\\-c]", "b", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("news.*", "news.art", true),
            ("news.*", "newsart", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_more_than_the_product_of_the_lengths() {
        // With a step back for each star, this would take longer than there is time.
        let pattern = "a*".repeat(50) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(5_000).as_bytes()));
    }
}
