//! Which framing, as an option: `raw`, `lines`, `length:4be`; and how a reply is wrapped in each.

use std::fmt;
use std::str::FromStr;

use readyloop::framers::{Order, Prefix, Spell};
use readyloop::{Context, Framer, LengthPrefixed, Lines, Raw};

/// How the stream is cut into frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// Bytes as they come.
    Raw,
    /// Lines that end with LF or CRLF.
    Lines,
    /// Frames behind their length.
    Length(Prefix, Order),
}

impl Framing {
    /// Network byte order, and room for every frame that one would want to keep in memory.
    pub const DEFAULT: Framing = Framing::Length(Prefix::Four, Order::Big);

    /// The longest frame that can be spelled, in bytes.
    pub fn spells_bytes_max(self) -> usize {
        match self {
            Framing::Raw | Framing::Lines => usize::MAX,
            Framing::Length(prefix, _) => usize::MAX >> (usize::BITS - 8 * prefix.width() as u32),
        }
    }

    /// What a frame that we send carries besides itself: its prefix, or its line end.
    pub fn wrapping_bytes(self) -> usize {
        match self {
            Framing::Raw => 0,
            Framing::Lines => 1,
            Framing::Length(prefix, _) => prefix.width(),
        }
    }
}

impl FromStr for Framing {
    type Err = String;

    /// Reads `raw`, `lines`, `length`, `length:WIDTH`, `length:WIDTHbe` and `length:WIDTHle`.
    fn from_str(text: &str) -> Result<Framing, String> {
        let framing = match text {
            "raw" => Some(Framing::Raw),
            "lines" => Some(Framing::Lines),
            "length" => Some(Framing::DEFAULT),
            other => other.strip_prefix("length:").and_then(length),
        };
        framing.ok_or_else(|| "write raw, lines, or length:1, 2, 4 or 8 with be or le".to_string())
    }
}

/// Reads a prefix: `4`, `4be`, `4le`. One byte has no order, but may be given one.
fn length(text: &str) -> Option<Framing> {
    let (width, order) = match (text.strip_suffix("be"), text.strip_suffix("le")) {
        (Some(width), _) => (width, Order::Big),
        (_, Some(width)) => (width, Order::Little),
        (None, None) => (text, Order::default()),
    };
    let prefixes =
        [("1", Prefix::One), ("2", Prefix::Two), ("4", Prefix::Four), ("8", Prefix::Eight)];
    let (_, prefix) = prefixes.into_iter().find(|(name, _)| *name == width)?;
    Some(Framing::Length(prefix, order))
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Framing::Raw => f.write_str("raw"),
            Framing::Lines => f.write_str("lines"),
            Framing::Length(Prefix::One, _) => f.write_str("length:1"),
            Framing::Length(prefix, order) => write!(f, "length:{prefix}{order}"),
        }
    }
}

/// A framer that knows how its frames are spelled.
pub trait Wrap: Framer + Clone + Send + Sync {
    /// Sends `frame` wrapped as this framer would read it.
    fn send(&self, frame: &[u8], context: &mut Context<'_>);
}

impl Wrap for Raw {
    #[inline(always)]
    fn send(&self, frame: &[u8], context: &mut Context<'_>) {
        context.send(frame);
    }
}

impl Wrap for Lines {
    #[inline(always)]
    fn send(&self, frame: &[u8], context: &mut Context<'_>) {
        context.send(frame);
        context.send(b"\n");
    }
}

impl<S: Spell> Wrap for LengthPrefixed<S> {
    #[inline(always)]
    fn send(&self, frame: &[u8], context: &mut Context<'_>) {
        context.send_framed(self, frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_framing_is_read_as_it_is_written() {
        for text in ["raw", "lines", "length:1", "length:2le", "length:4be", "length:8le"] {
            assert_eq!(text.parse::<Framing>().unwrap().to_string(), text);
        }
        let shorter =
            [("length", "length:4be"), ("length:1", "length:1be"), ("length:8", "length:8be")];
        for (short, long) in shorter {
            assert_eq!(short.parse::<Framing>(), long.parse());
        }
    }

    #[test]
    fn what_is_no_framing_is_told_what_would_be_right() {
        for text in ["", "line", "length:", "length:3", "length:4xe", "length:bele", "length:+4"] {
            let wrong = text.parse::<Framing>().unwrap_err();
            assert!(wrong.starts_with("write raw, lines, or length:"), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_spells_as_much_as_its_encoder_says() {
        for (prefix, most) in
            [(Prefix::One, 255), (Prefix::Two, 65_535), (Prefix::Four, u32::MAX as usize)]
        {
            let encoder = LengthPrefixed::new(prefix, Order::Big, 0);
            assert_eq!(Framing::Length(prefix, Order::Big).spells_bytes_max(), most);
            assert!(encoder.encode(most).is_some() && encoder.encode(most + 1).is_none());
        }
        assert_eq!(Framing::Length(Prefix::Eight, Order::Big).spells_bytes_max(), usize::MAX);
    }
}
