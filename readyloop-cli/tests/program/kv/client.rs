//! A client of RESP that shows replies as they came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::program::Server;

impl Server {
    /// A connection of RESP.
    pub fn client(&self) -> Client {
        Client(BufReader::new(self.connect()))
    }
}

/// A connection, from the client's side.
pub struct Client(pub BufReader<TcpStream>);

/// A command as an array: words are parted by space.
pub fn array(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let bulks = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), bulks.collect::<String>())
}

impl Client {
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// What a command is answered, with spaces for line ends: `$1 v`.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(array(line).as_bytes());
        self.reply()
    }

    /// One reply, whole.
    pub fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let line = line.strip_suffix("\r\n").unwrap_or_else(|| panic!("cut off: '{line}'"));
        let count = line[1..].parse().unwrap_or(0);
        let (bytes, replies) = match line.as_bytes()[0] {
            b'$' | b'=' if count >= 0 => (count, 0),
            b'*' | b'~' | b'>' => (-1, count),
            b'%' => (-1, 2 * count),
            _ => (-1, 0),
        };
        let mut reply = line.to_string();
        if bytes >= 0 {
            let mut text = vec![0; bytes as usize + 2];
            self.0.read_exact(&mut text).unwrap();
            reply.push(' ');
            reply.push_str(str::from_utf8(&text[..bytes as usize]).unwrap());
        }
        for _ in 0..replies {
            reply.push(' ');
            reply.push_str(&self.reply());
        }
        reply
    }
}
