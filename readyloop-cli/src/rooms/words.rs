//! The lines of clients, read; and what is wrong with those that cannot be.
//!
//! A line is a word, then fields without spaces, then, where there is one, free text to its end.

use std::fmt;

/// What a client wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command<'a> {
    /// `NICK name [token]`
    Nick(&'a str, Option<u64>),
    /// `JOIN room [after]`
    Join(&'a str, Option<u64>),
    /// `LEAVE room`
    Leave(&'a str),
    /// `SAY room text`
    Say(&'a str, &'a str),
    /// `MSG nick text`
    Msg(&'a str, &'a str),
    /// `WHO room`
    Who(&'a str),
    /// `ROOMS`
    Rooms,
    /// `HISTORY room n`
    History(&'a str, usize),
    /// `PING [text]`
    Ping(&'a str),
    /// `PONG`
    Pong,
    /// `QUIT`
    Quit,
}

/// Why a line is refused: a word for programs, and a text for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    NotText,
    UnknownCommand,
    Usage(&'static str),
    BadName,
    NameTaken,
    WrongToken,
    NoNick,
    NoRoom,
    NotMember,
    Joined,
    NoSuchNick,
    TooManyRooms,
    TooManyRoomsInAll,
    NoText,
    TooFast,
    TooLong,
    Busy,
}

impl Refusal {
    /// The word and the text.
    fn parts(self) -> (&'static str, &'static str) {
        match self {
            Refusal::NotText => ("text", "a line is UTF-8 without control characters"),
            Refusal::UnknownCommand => {
                ("command", "there are NICK JOIN LEAVE SAY MSG WHO ROOMS HISTORY PING PONG QUIT")
            }
            Refusal::Usage(usage) => ("usage", usage),
            Refusal::BadName => ("name", "a name is short, of letters, digits and - _ ."),
            Refusal::NameTaken => ("taken", "somebody has this name"),
            Refusal::WrongToken => ("token", "the name belongs to another token"),
            Refusal::NoNick => ("nick", "say NICK first"),
            Refusal::NoRoom => ("room", "there is no such room"),
            Refusal::NotMember => ("member", "JOIN the room first"),
            Refusal::Joined => ("joined", "you are in the room"),
            Refusal::NoSuchNick => ("nobody", "nobody has this name"),
            Refusal::TooManyRooms => ("rooms", "you are in as many rooms as one may be"),
            Refusal::TooManyRoomsInAll => ("full", "there are as many rooms as there may be"),
            Refusal::NoText => ("empty", "there is nothing to say"),
            Refusal::TooFast => ("rate", "you are too fast; what you said was not heard"),
            Refusal::TooLong => ("long", "the line is too long"),
            Refusal::Busy => ("busy", "the server is behind; say it again"),
        }
    }
}

impl fmt::Display for Refusal {
    /// The whole line, with its end: `ERR code text`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, text) = self.parts();
        writeln!(f, "ERR {code} {text}")
    }
}

impl<'a> Command<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it. Whether names and rooms exist is not known here.
    pub fn read(line: &'a [u8]) -> Result<Command<'a>, Refusal> {
        let line = std::str::from_utf8(line).map_err(|_| Refusal::NotText)?;
        if line.chars().any(char::is_control) {
            return Err(Refusal::NotText);
        }
        let (word, rest) = field(line);
        let usage = |text| Refusal::Usage(text);
        match word.to_ascii_uppercase().as_str() {
            "NICK" => {
                let usage = usage("NICK name [token]");
                let [name, token] = fields(rest).ok_or(usage)?;
                let token = match token {
                    "" => None,
                    text => Some(u64::from_str_radix(text, 16).map_err(|_| usage)?),
                };
                Ok(Command::Nick(some(name).ok_or(usage)?, token))
            }
            "JOIN" => {
                let usage = usage("JOIN room [after]");
                let [room, after] = fields(rest).ok_or(usage)?;
                let after = match after {
                    "" => None,
                    text => Some(text.parse().map_err(|_| usage)?),
                };
                Ok(Command::Join(some(room).ok_or(usage)?, after))
            }
            "LEAVE" => one(rest).map(Command::Leave).ok_or(usage("LEAVE room")),
            "WHO" => one(rest).map(Command::Who).ok_or(usage("WHO room")),
            "SAY" => said(rest).map(|(room, text)| Command::Say(room, text)),
            "MSG" => said(rest).map(|(nick, text)| Command::Msg(nick, text)),
            "HISTORY" => {
                let usage = usage("HISTORY room n");
                let [room, count] = fields(rest).ok_or(usage)?;
                Ok(Command::History(room, count.parse().map_err(|_| usage)?))
            }
            "ROOMS" => none(rest).map(|()| Command::Rooms).ok_or(usage("ROOMS")),
            "PING" => Ok(Command::Ping(rest.trim())),
            "PONG" => Ok(Command::Pong),
            "QUIT" => Ok(Command::Quit),
            _ => Err(Refusal::UnknownCommand),
        }
    }
}

/// Whom to say it, and what.
fn said(rest: &str) -> Result<(&str, &str), Refusal> {
    let (to, text) = field(rest);
    match text.trim() {
        _ if to.is_empty() => Err(Refusal::Usage("SAY room text, or MSG nick text")),
        "" => Err(Refusal::NoText),
        text => Ok((to, text)),
    }
}

/// The first field, and what follows it.
fn field(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches(' ');
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    (first, rest.trim_start_matches(' '))
}

/// Both fields, the second one perhaps empty, if there is no third one.
fn fields(rest: &str) -> Option<[&str; 2]> {
    let (first, rest) = field(rest);
    let (second, rest) = field(rest);
    none(rest).map(|()| [first, second])
}

fn one(rest: &str) -> Option<&str> {
    let [first, second] = fields(rest)?;
    none(second).and_then(|()| some(first))
}

fn some(field: &str) -> Option<&str> {
    (!field.is_empty()).then_some(field)
}

fn none(rest: &str) -> Option<()> {
    rest.trim().is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_read_in_any_case_and_with_any_spaces() {
        let cases = [
            ("NICK Ann", Command::Nick("Ann", None)),
            ("nick Ann 00ff", Command::Nick("Ann", Some(255))),
            ("JOIN den", Command::Join("den", None)),
            ("Join  den  12 ", Command::Join("den", Some(12))),
            ("LEAVE den", Command::Leave("den")),
            ("SAY den  hello,  you ", Command::Say("den", "hello,  you")),
            ("MSG Bob hi", Command::Msg("Bob", "hi")),
            ("WHO den", Command::Who("den")),
            ("ROOMS ", Command::Rooms),
            ("HISTORY den 5", Command::History("den", 5)),
            ("PING", Command::Ping("")),
            (" PING a b", Command::Ping("a b")),
            ("PONG whatever", Command::Pong),
            ("QUIT", Command::Quit),
        ];
        for (line, command) in cases {
            assert_eq!(Command::read(line.as_bytes()), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_how_it_is_written() {
        let cases: [(&[u8], &str); 12] = [
            (b"", "command"),
            (b"HELLO", "command"),
            (b"NICK", "usage"),
            (b"NICK a b c", "usage"),
            (b"NICK a nohex", "usage"),
            (b"JOIN den -1", "usage"),
            (b"LEAVE", "usage"),
            (b"ROOMS all", "usage"),
            (b"HISTORY den many", "usage"),
            (b"SAY den  ", "empty"),
            (b"SAY den a\nSAID den 1 Bob b", "text"),
            (b"SAY den \xff", "text"),
        ];
        for (line, code) in cases {
            let refusal = Command::read(line).unwrap_err().to_string();
            assert!(refusal.starts_with(&format!("ERR {code} ")), "{refusal}");
            assert!(refusal.ends_with('\n') && refusal.lines().count() == 1);
        }
    }
}
