//! The second request to end, also when nobody has the time to hear it.
//!
//! A reactor hears the signals itself: it drains after the first one, and cuts off who is left after
//! the second one. But it hears nothing while it runs a handler that does not return, and waits for
//! workers that do not. The library must wait for its threads; a program need not.
//!
//! Thread contract: a thread of its own, which sleeps until there are signals.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use readyloop::stop_signals;
use signal_hook::low_level::{exit, pipe};
use tracing::warn;

use crate::log;

/// What the reactors have to cut off their sessions, after a second signal.
const GRACE: Duration = Duration::from_secs(1);

/// From now on a second SIGINT, SIGTERM or SIGHUP ends the program, if not by itself then after a moment; a
/// third one ends it at once.
///
/// # Errors
/// When descriptors have run out, or no thread can be had.
pub fn end_at_the_second() -> io::Result<()> {
    let (signals, sender) = UnixStream::pair()?;
    for signal in stop_signals() {
        pipe::register(signal, sender.try_clone()?)?;
    }
    thread::Builder::new().name("readyloop-signals".to_string()).spawn(move || watch(signals))?;
    Ok(())
}

fn watch(mut signals: UnixStream) {
    let mut two = [0; 2];
    let heard = signals.read_exact(&mut two).and_then(|()| signals.set_read_timeout(Some(GRACE)));
    if heard.is_err() {
        return;
    }
    // A third one, or none in time.
    let _either = signals.read(&mut two);
    warn!("ended without handlers that do not return");
    log::finish();
    // Without anything that a stuck thread could keep from ending. A stop was asked for.
    exit(0);
}
