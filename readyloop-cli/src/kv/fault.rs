//! What a command is refused with, in Redis' words: clients compare them.

use std::borrow::Cow;

use readyloop_protocols::resp::Arguments;

/// Why a command was not done. Nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is spelled wrong.
    Syntax,
    /// An argument should have been a whole number.
    NotInteger,
    /// The number would have left its range.
    Overflow,
    /// The same, of DECRBY's own argument.
    DecrementOverflow,
    /// A deadline that cannot be.
    ExpireTime(&'static str),
    /// Too few arguments, or too many, for the command of this name.
    Arity(Cow<'static, str>),
    /// No queue can hold the answer.
    ReplyTooLong,
    /// Other words.
    Words(Cow<'static, str>),
}

/// How a command ends.
pub type Answer = Result<(), Fault>;

impl Fault {
    /// Words of their own.
    pub fn words(words: &'static str) -> Fault {
        Fault::Words(Cow::Borrowed(words))
    }

    /// The error as it is sent.
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Fault::Syntax => "ERR syntax error".into(),
            Fault::NotInteger => "ERR value is not an integer or out of range".into(),
            Fault::Overflow => "ERR increment or decrement would overflow".into(),
            Fault::DecrementOverflow => "ERR decrement would overflow".into(),
            Fault::ExpireTime(name) => {
                format!("ERR invalid expire time in '{name}' command").into()
            }
            Fault::Arity(name) => {
                format!("ERR wrong number of arguments for '{name}' command").into()
            }
            Fault::ReplyTooLong => "ERR reply exceeds maximum allowed size (--send-max)".into(),
            Fault::Words(words) => words.clone(),
        }
    }
}

/// How many bytes of what a client sent are told to it in an error.
const QUOTED_BYTES_MAX: usize = 128;

fn quoted(bytes: &[u8], most: usize) -> Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(most)])
}

/// There is no such command.
pub fn unknown_command(name: &[u8], arguments: Arguments<'_>) -> Fault {
    let mut quotes = String::new();
    for argument in arguments {
        let left = QUOTED_BYTES_MAX.saturating_sub(quotes.len());
        if left == 0 {
            break;
        }
        quotes.push('\'');
        quotes.push_str(&quoted(argument, left));
        quotes.push_str("' ");
    }
    let name = quoted(name, QUOTED_BYTES_MAX);
    Fault::Words(format!("ERR unknown command '{name}', with args beginning with: {quotes}").into())
}

/// There is no such subcommand of this command.
pub fn unknown_subcommand(command: &str, name: &[u8]) -> Fault {
    let name = quoted(name, QUOTED_BYTES_MAX);
    let command = command.to_ascii_uppercase();
    Fault::Words(format!("ERR unknown subcommand '{name}'. Try {command} HELP.").into())
}
