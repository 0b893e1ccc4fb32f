//! Callers that read whole responses, before a deadline.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::program::{Server, expect_end};

impl Server {
    /// A connection of HTTP.
    pub fn caller(&self) -> Caller {
        Caller(BufReader::new(self.connect()))
    }

    /// What one request on a connection of its own is answered.
    pub fn answer(&self, request: &str) -> Answer {
        let mut caller = self.caller();
        caller.send(request.as_bytes());
        caller.answer()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.answer(&get(path))
    }
}

/// A connection, from the caller's side.
pub struct Caller(pub BufReader<TcpStream>);

/// A whole response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub status: u16,
    /// Its head, as it came.
    pub head: String,
    pub content: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

impl Caller {
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Reads a response to anything but HEAD.
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.answer_without_content();
        let length = answer.header("Content-Length").unwrap_or("0").parse().unwrap();
        answer.content.resize(length, 0);
        self.0.read_exact(&mut answer.content).unwrap();
        answer
    }

    /// Reads the head of a response.
    pub fn answer_without_content(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let more = self.0.read_line(&mut head).unwrap();
            assert!(more > 0, "the stream ended after '{head}'");
        }
        assert!(head.starts_with("HTTP/1.1 "), "{head}");
        Answer { status: head[9..12].parse().unwrap(), head, content: Vec::new() }
    }

    /// Expects that the server has nothing more to say and ends the stream.
    #[track_caller]
    pub fn expect_end(&mut self) {
        expect_end(&mut self.0);
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}
