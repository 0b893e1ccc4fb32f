//! ntex on its own runtime over epoll (feature `neon-polling`; without it, io_uring), with a codec of
//! its traits. One worker does the I/O of all sessions; ntex accepts them on a thread of its own.

use std::io::{Error, ErrorKind};

use ntex::codec::{Decoder, Encoder};
use ntex::io::Io;
use ntex::util::{BufMut, BytePages, Bytes, BytesMut};

/// Frames behind four bytes of length.
struct LengthPrefixed;

impl Decoder for LengthPrefixed {
    type Item = Bytes;
    type Error = Error;

    fn decode(&self, bytes: &mut BytesMut) -> Result<Option<Bytes>, Error> {
        let Some(prefix) = bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > peers::FRAME_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        if bytes.len() < 4 + length {
            // Once for the whole frame: ntex grows the buffer by 16 KiB at a time.
            bytes.reserve(4 + length - bytes.len());
            return Ok(None);
        }
        bytes.advance_to(4);
        Ok(Some(bytes.split_to(length)))
    }
}

impl Encoder for LengthPrefixed {
    type Item = Bytes;
    type Error = Error;

    fn encodev(&self, frame: Bytes, bytes: &mut BytePages) -> Result<(), Error> {
        bytes.put_u32(frame.len() as u32);
        bytes.append(frame);
        Ok(())
    }
}

/// What is encoded leaves when the task waits for more; `recv` then waits for a peer that does not
/// read.
async fn serve(io: Io) -> Result<(), Error> {
    while let Ok(Some(frame)) = io.recv(&LengthPrefixed).await {
        io.encode(frame, &LengthPrefixed)?;
    }
    Ok(())
}

#[ntex::main]
async fn main() -> std::io::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // By default TCP_NODELAY is set, sessions do not time out, and a worker takes 25,600 of them.
    // Signals are left alone: ntex would end gracefully.
    let server = ntex::server::build()
        .workers(1)
        .disable_signals()
        .listen("echo", listener, async |_| ntex::service::fn_service(serve))?
        .run();
    peers::announce("ntex", address);
    server.await
}
