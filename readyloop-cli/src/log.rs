//! Logs to standard error: how much of them, and that a closed one hurts nobody.

use std::io;

use readyloop::Incident;
use tracing::{Level, error, info, warn};

use crate::args::LogOptions;

/// Logs from now on, as much as was asked for.
pub fn start(options: &LogOptions) {
    let level = match (options.quiet, options.verbose) {
        (true, _) => Level::ERROR,
        (false, 0) => Level::WARN,
        (false, 1) => Level::INFO,
        (false, _) => Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_writer(io::stderr)
        // It would say with eprintln! that standard error is closed, and that panics.
        .log_internal_errors(false)
        .init();
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
