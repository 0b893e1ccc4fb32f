//! Lines of limited length.
#![no_main]

use libfuzzer_sys::fuzz_target;
use readyloop::Lines;
use readyloop_fuzz::Input;

fuzz_target!(|bytes: &[u8]| {
    let Some(input) = Input::of(bytes) else { return };
    input.check(|| Lines::new(input.choice.into()));
});
