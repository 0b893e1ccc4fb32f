//! RESP, the protocol of Redis, versions 2 and 3: commands in, replies out.
//!
//! It exists so that a server on readyloop can be used by every Redis client: [`Commands`] cuts the
//! stream into commands, [`Arguments`] reads one, [`Reply`] writes the answers. It knows no command
//! and no data type, and it does not read replies: it is the server's side alone.
//!
//! Source: the [RESP specification](https://redis.io/docs/latest/develop/reference/protocol-spec/);
//! where that is silent (inline commands, what is refused and in which words), Redis 7.0's
//! `networking.c`.
//!
//! ```
//! use readyloop::{Framer, Step};
//! use readyloop_protocols::resp::{Arguments, Commands, Protocol, Reply};
//!
//! let mut input = *b"*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n";
//! let Step::Frame { frame, .. } = Commands::new(1024).next(&mut input) else { panic!() };
//!
//! let mut arguments = Arguments::of_array(&input[frame]);
//! assert_eq!((arguments.len(), arguments.next()), (2, Some(&b"ECHO"[..])));
//!
//! let mut out = Vec::new();
//! Reply::new(&mut out, Protocol::Resp2).bulk(arguments.next().unwrap());
//! assert_eq!(out, b"$5\r\nhello\r\n");
//! ```

mod arguments;
mod commands;
mod inline;
mod number;
mod reply;

pub use arguments::Arguments;
pub use commands::Commands;
pub use inline::{UNBALANCED_QUOTES, Unbalanced, is_inline, write_as_array};
pub use number::integer;
pub use reply::{Protocol, Reply};
