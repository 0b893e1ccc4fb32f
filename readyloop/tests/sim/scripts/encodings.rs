//! What scripts encode with.

use readyloop::{Encoder, Encoding, Header, HeaderBytes};

use super::verbs::HEADERS;

/// A head that tells the length, and one that does not.
static WRAPPERS: [Header; HEADERS] = [
    Header { head: |bytes| HeaderBytes::new(format!("|{bytes}:").as_bytes()), closing: b"|bye|" },
    Header { head: |_| HeaderBytes::new(b"/"), closing: b"" },
];

/// Says of each message how many came before it.
struct Numbers(usize);

impl Encoder for Numbers {
    fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(format!("#{:02}", self.0 % 100).as_bytes());
        out.extend_from_slice(message);
        self.0 += 1;
    }

    fn encoded_bytes_max(bytes: usize) -> usize {
        bytes + 3
    }

    fn closing(&mut self, out: &mut Vec<u8>) {
        self.encode(b"bye", out);
    }
}

pub fn encoding(nth: Option<usize>) -> Encoding {
    match nth {
        None => Encoding::NONE,
        Some(HEADERS) => Encoding::stateful(Numbers(0)),
        Some(nth) => Encoding::header(&WRAPPERS[nth]),
    }
}
