//! Somebody who talks in lines, each of which is waited for before a deadline.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::program::{Server, connect, expect_end};

/// Starts it with a web address of its own, and so that nobody is too fast.
pub fn start(options: &[&str]) -> Server {
    let common = ["--web", "127.0.0.1:0", "--rate", "100000", "--burst", "100000"];
    Server::start("rooms", &[&common, options].concat())
}

/// Without a limit of its own on how fast one may be.
pub fn start_with_manners(options: &[&str]) -> Server {
    Server::start("rooms", &[&["--web", "127.0.0.1:0"], options].concat())
}

impl Server {
    /// A connection of lines that was greeted.
    pub fn talker(&self) -> Talker {
        let mut talker = Talker(BufReader::new(self.connect()));
        assert!(talker.line().starts_with("HELLO rooms "));
        talker
    }

    /// The same with a name, in this room.
    pub fn talker_in(&self, name: &str, room: &str) -> Talker {
        let mut talker = self.talker();
        talker.say(&format!("NICK {name}\nJOIN {room}"));
        talker.expect(&format!("OK NICK {name} "));
        talker.expect(&format!("OK JOIN {room} "));
        talker
    }

    /// A connection to its web address.
    pub fn browser(&self) -> BufReader<TcpStream> {
        let address = self.addresses()[1].trim_start_matches("http://").trim_end_matches('/');
        BufReader::new(connect(address))
    }
}

/// A connection, from the side of who talks.
pub struct Talker(pub BufReader<TcpStream>);

impl Talker {
    /// Says a line, or several.
    pub fn say(&mut self, lines: &str) {
        self.send(format!("{lines}\n").as_bytes());
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The next line that it hears.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.strip_suffix('\n').unwrap_or_else(|| panic!("the end, behind '{line}'")).to_string()
    }

    /// The next line begins with this; the rest of it.
    #[track_caller]
    pub fn expect(&mut self, begin: &str) -> String {
        let line = self.line();
        let rest = line.strip_prefix(begin);
        rest.unwrap_or_else(|| panic!("'{line}' does not begin with '{begin}'")).to_string()
    }

    /// What it hears up to a line that begins with this, without it.
    #[track_caller]
    pub fn until(&mut self, begin: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if line.starts_with(begin) {
                return lines;
            }
            lines.push(line);
        }
    }

    /// Expects that the server has nothing more to say and ends the stream.
    #[track_caller]
    pub fn expect_end(self) {
        expect_end(self.0);
    }
}
