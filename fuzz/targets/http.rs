//! Requests of HTTP/1.1, heads and bodies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use readyloop_fuzz::Input;
use readyloop_protocols::http::{RequestLimits, Requests};

fuzz_target!(|bytes: &[u8]| {
    let Some(input) = Input::of(bytes) else { return };
    let most = usize::from(input.choice);
    let limits = RequestLimits {
        head_bytes_max: 2 * most,
        target_bytes_max: most,
        body_bytes_max: most / 2,
    };
    input.check(|| Requests::new(limits));
});
