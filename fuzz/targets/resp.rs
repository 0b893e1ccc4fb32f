//! Commands of RESP.
#![no_main]

use libfuzzer_sys::fuzz_target;
use readyloop_fuzz::Input;
use readyloop_protocols::resp::{Arguments, Commands, is_inline, write_as_array};

fuzz_target!(|bytes: &[u8]| {
    let Some(input) = Input::of(bytes) else { return };
    for frame in input.check(|| Commands::new(input.choice.into())).frames {
        let mut array = frame;
        if is_inline(&array) {
            let line = std::mem::take(&mut array);
            if write_as_array(&line, &mut array).is_err() {
                continue;
            }
        }
        let arguments = Arguments::of_array(&array);
        let announced = arguments.len();
        assert_eq!(arguments.count(), announced, "the framer has passed what cannot be read");
    }
});
