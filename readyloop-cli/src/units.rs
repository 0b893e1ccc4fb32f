//! Amounts as people write them: `64KiB`, `5ms`, `1000`.
//!
//! A unit is one factor, so a size or a time is read by one function from one table and written
//! back from the same. A fraction or a sum of units is refused: an option has one spelling that is
//! obvious.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The units of a size, largest first; `64k` and `64KiB` are the same.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];

/// The units of a time in microseconds, largest first.
const TIMES: [(&str, u64); 5] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bytes(pub usize);

/// A span of time, in whole microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span(pub Duration);

/// A time, or a range of times from which one is drawn at random: the shortest and the longest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpanRange(pub Span, pub Span);

impl FromStr for SpanRange {
    type Err = String;

    /// Reads `5ms` or `1ms..5ms`.
    fn from_str(text: &str) -> Result<SpanRange, String> {
        let Some((shortest, longest)) = text.split_once("..") else {
            let span: Span = text.parse()?;
            return Ok(SpanRange(span, span));
        };
        let (shortest, longest) = (shortest.parse::<Span>()?, longest.parse::<Span>()?);
        if shortest.0 > longest.0 {
            return Err(format!(
                "{shortest} is longer than {longest}; write the shorter one first"
            ));
        }
        Ok(SpanRange(shortest, longest))
    }
}

impl FromStr for Bytes {
    type Err = String;

    /// Reads `65536`, `64k`, `64KiB`, `1m`, `1MiB`, `1g`, `1GiB` in any case; units of 1,024. `kB`
    /// is refused, because half of its readers take it for 1,000.
    fn from_str(text: &str) -> Result<Bytes, String> {
        let unit_is = |unit: &str, written: &str| {
            unit.eq_ignore_ascii_case(written)
                || unit.len() == 3 && unit[..1].eq_ignore_ascii_case(written)
        };
        let right = "write 65536, 64k or 64KiB, 1m or 1MiB, 1g or 1GiB";
        let count = read(text, &SIZES, unit_is).map_err(|wrong| format!("{wrong}; {right}"))?;
        usize::try_from(count).map(Bytes).map_err(|_| format!("too large; {right}"))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0 as u64, &SIZES)
    }
}

impl FromStr for Span {
    type Err = String;

    /// Reads `500us`, `5ms`, `2s`, `1m`, `1h`.
    fn from_str(text: &str) -> Result<Span, String> {
        let micros = read(text, &TIMES, str::eq)
            .map_err(|wrong| format!("{wrong}; write 500us, 5ms, 2s, 1m or 1h"))?;
        Ok(Span(Duration::from_micros(micros)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u64::try_from(self.0.as_micros()) {
            Ok(0) => f.write_str("0s"),
            Ok(micros) => write(f, micros, &TIMES),
            Err(_) => write!(f, "{:?}", self.0),
        }
    }
}

/// Reads a whole number of a range.
pub fn number(
    range: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let (least, most) = range.clone().into_inner();
        number.ok_or_else(|| format!("not a whole number from {least} to {most}"))
    }
}

/// Reads a count of things, of which none would make no sense.
pub fn count(text: &str) -> Result<u32, String> {
    number(1..=u32::MAX)(text)
}

/// Reads a count of things, of which there may be none.
pub fn count_or_none(text: &str) -> Result<u32, String> {
    number(0..=u32::MAX)(text)
}

/// Reads a time that something may take, or waits for: with less than a millisecond, which is how
/// exact timers are, there would be no time at all.
pub fn time(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    match span.0 >= Duration::from_millis(1) {
        true => Ok(span),
        false => Err("too short; make it at least 1ms".to_string()),
    }
}

/// Reads a size of at least one byte.
pub fn size(text: &str) -> Result<Bytes, String> {
    let bytes: Bytes = text.parse()?;
    match bytes.0 > 0 {
        true => Ok(bytes),
        false => Err("too small; make it at least 1".to_string()),
    }
}

/// Reads digits and a unit; says what is wrong with them.
fn read(
    text: &str,
    units: &[(&str, u64)],
    unit_is: impl Fn(&str, &str) -> bool,
) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, written) = text.split_at(end);
    if digits.is_empty() {
        return Err("no whole number".to_string());
    }
    let Some((_, factor)) = units.iter().find(|(unit, _)| unit_is(unit, written)) else {
        return Err(match written {
            "" => "no unit".to_string(),
            written => format!("'{written}' is not a unit"),
        });
    };
    let number = digits.parse::<u64>().ok();
    number.and_then(|number| number.checked_mul(*factor)).ok_or_else(|| "too large".to_string())
}

/// Writes an amount in the largest unit in which it is whole.
fn write(f: &mut fmt::Formatter<'_>, amount: u64, units: &[(&str, u64)]) -> fmt::Result {
    let whole = |factor: u64| amount >= factor && amount.is_multiple_of(factor);
    match units.iter().find(|(_, factor)| whole(*factor)) {
        Some((unit, factor)) => write!(f, "{}{unit}", amount / factor),
        None => write!(f, "{amount}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_in_every_spelling() {
        let spellings = [
            ("0", 0),
            ("65536", 65_536),
            ("64k", 65_536),
            ("64K", 65_536),
            ("64KiB", 65_536),
            ("64kib", 65_536),
            ("1m", 1 << 20),
            ("1MiB", 1 << 20),
            ("3g", 3 << 30),
            ("18446744073709551615", usize::MAX),
        ];
        for (text, bytes) in spellings {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn a_time_is_read_in_every_unit() {
        let micros = [
            ("0s", 0),
            ("500us", 500),
            ("5ms", 5_000),
            ("2s", 2_000_000),
            ("1m", 60_000_000),
            ("1h", 3_600_000_000),
        ];
        for (text, micros) in micros {
            assert_eq!(text.parse(), Ok(Span(Duration::from_micros(micros))), "{text}");
        }
    }

    #[test]
    fn a_range_of_times_is_one_time_or_two() {
        let span = |micros| Span(Duration::from_micros(micros));
        assert_eq!("5ms".parse(), Ok(SpanRange(span(5_000), span(5_000))));
        assert_eq!("0us..2ms".parse(), Ok(SpanRange(span(0), span(2_000))));
        assert!("2ms..1ms".parse::<SpanRange>().is_err() && "1ms..".parse::<SpanRange>().is_err());
    }

    #[test]
    fn what_is_no_amount_is_told_what_would_be_right() {
        for text in ["", "k", "-1", "1.5m", "64kB", "64 k", "1T", "1é", "17179869184g"] {
            let wrong = text.parse::<Bytes>().unwrap_err();
            assert!(
                wrong.ends_with("write 65536, 64k or 64KiB, 1m or 1MiB, 1g or 1GiB"),
                "{wrong}"
            );
        }
        for text in ["", "5", "ms", "5 ms", "1.5s", "5M", "1h30m", "5124095576030432h"] {
            let wrong = text.parse::<Span>().unwrap_err();
            assert!(wrong.ends_with("write 500us, 5ms, 2s, 1m or 1h"), "{wrong}");
        }
        for text in ["", "0", "-1", "1k", "4294967296"] {
            assert_eq!(count(text), Err("not a whole number from 1 to 4294967295".to_string()));
        }
    }

    #[test]
    fn a_number_outside_of_its_range_is_told_the_range() {
        assert_eq!((number(1..=255)("255"), count_or_none("0")), (Ok(255), Ok(0)));
        assert_eq!(number(1..=255)("256"), Err("not a whole number from 1 to 255".to_string()));
        assert!(count_or_none("-1").unwrap_err().ends_with("from 0 to 4294967295"));
    }

    #[test]
    fn nothing_is_no_time_and_no_size() {
        for text in ["0s", "0h", "999us"] {
            assert_eq!(time(text), Err("too short; make it at least 1ms".to_string()), "{text}");
        }
        assert_eq!(time("1ms"), Ok(Span(Duration::from_millis(1))));
        assert_eq!(size("0k"), Err("too small; make it at least 1".to_string()));
        assert_eq!(size("1"), Ok(Bytes(1)));
    }

    #[test]
    fn an_amount_is_written_as_it_can_be_read() {
        for text in ["0", "1", "1025", "64KiB", "16MiB", "5GiB"] {
            assert_eq!(text.parse::<Bytes>().unwrap().to_string(), text);
        }
        for text in ["0s", "1us", "1500us", "5ms", "90s", "1m", "36h"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
    }
}
