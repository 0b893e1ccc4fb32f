//! Logs to standard error: how much of them, and that one that is closed, or full, hurts nobody.

mod writer;

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use readyloop::Incident;
use tracing::{Level, error, info, warn};

use crate::args::LogOptions;
use crate::failure::Failure;
use writer::Writer;

/// What writes the log, once there is one.
static WRITER: OnceLock<Writer> = OnceLock::new();

/// How long the program waits at its end for those who read the log.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// A panic that was logged is followed by no other one for so long: a peer may provoke thousands.
const PANICS_APART: Duration = Duration::from_secs(1);

/// Logs from now on, as much as was asked for.
///
/// # Errors
/// When the thread that writes cannot be had.
pub fn start(options: &LogOptions) -> Result<(), Failure> {
    let level = match (options.quiet, options.verbose) {
        (true, _) => Level::ERROR,
        (false, 0) => Level::WARN,
        (false, 1) => Level::INFO,
        (false, _) => Level::DEBUG,
    };
    let started = Writer::start("readyloop-log", io::stderr());
    let writer = started.map_err(|error| Failure::Others(format!("starting the log: {error}")))?;
    let writer = WRITER.get_or_init(|| writer);
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_writer(|| writer.clone())
        // It would say with eprintln! that standard error is closed, and that panics.
        .log_internal_errors(false)
        .init();
    panic::set_hook(Box::new(panicked));
    Ok(())
}

/// Logs what a reactor reports. A drain was asked for; a panic is a fault of this program.
pub fn incident(incident: &Incident) {
    let kind = match incident {
        Incident::Repeated { last, .. } => last,
        one => one,
    };
    match kind {
        Incident::Draining { .. } => info!("{incident}"),
        Incident::Panicked { .. } => error!("{incident}"),
        _ => warn!("{incident}"),
    }
}

/// Logs where a thread panics. Rust's own hook would write to standard error by itself, on the
/// thread that panics.
fn panicked(panic: &PanicHookInfo<'_>) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_some_and(|last| last.elapsed() < PANICS_APART) {
        return;
    }
    *last = Some(Instant::now());
    drop(last);
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = message.unwrap_or("no message");
    match panic.location() {
        Some(place) => error!("thread {name} panicked at {place}: {message}"),
        None => error!("thread {name} panicked: {message}"),
    }
}

/// Says a line on standard error, whether there is a log or not.
pub fn say(line: &str) {
    match WRITER.get() {
        Some(writer) => writer.push(format!("{line}\n").as_bytes()),
        // Unlike eprintln!, this does not panic when standard error is closed.
        None => drop(writeln!(io::stderr(), "{line}")),
    }
}

/// Waits until the log is written, but not for long: who does not read it does not keep us.
pub fn finish() {
    if let Some(writer) = WRITER.get() {
        writer.finish(LAST_WORDS);
    }
}

/// Finishes the log when it is dropped, also by a panic.
pub struct Finish;

impl Drop for Finish {
    fn drop(&mut self) {
        finish();
    }
}
