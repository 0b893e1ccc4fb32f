//! Frames of WebSocket.
#![no_main]

use libfuzzer_sys::fuzz_target;
use readyloop_fuzz::Input;
use readyloop_protocols::websocket::Frames;

fuzz_target!(|bytes: &[u8]| {
    let Some(input) = Input::of(bytes) else { return };
    input.check(|| Frames::new(input.choice.into()));
});
