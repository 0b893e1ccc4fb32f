//! What the echoes share: frames behind four bytes of length, cut by hand.

/// The longest frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// Says where it listens, as `readyloop serve` does.
pub fn announce(name: &str, address: std::net::SocketAddr) {
    println!("serving {name} on {address} (peer)");
}

/// How many bytes at the beginning are whole frames.
pub fn whole_frames(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(prefix) = bytes[at..].first_chunk::<4>() {
        let length = u32::from_be_bytes(*prefix) as usize;
        assert!(length <= FRAME_BYTES_MAX, "a frame is too long");
        if bytes.len() - at < 4 + length {
            break;
        }
        at += 4 + length;
    }
    at
}
