//! Length prefixes of every kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use readyloop::framers::{LengthPrefixed, Order, Prefix};
use readyloop_fuzz::Input;

fuzz_target!(|bytes: &[u8]| {
    let Some(input) = Input::of(bytes) else { return };
    let choice = usize::from(input.choice);
    let prefix = [Prefix::One, Prefix::Two, Prefix::Four, Prefix::Eight][choice & 3];
    let order = [Order::Big, Order::Little][choice >> 2 & 1];
    let plain = LengthPrefixed::new(prefix, order, choice);
    let framer = if choice & 8 == 0 { plain } else { plain.counting_itself() };
    input.check(|| framer);
});
