//! From options to a served service: limits, the ready line, the end.

use std::fs;
use std::io::{self, Write};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use readyloop::{
    Address, Builder, CloseReason, Errno, Error, Handler, Incident, Limits, Remote, Result, Server,
    Stats,
};
use tracing::{info, warn};

use crate::args::{Identity, LimitOptions, ProfileName, ServerOptions};
use crate::log;
use crate::options;
use crate::signals;
use crate::topology;
use crate::units::Bytes;

/// How long the program waits at its end for who should read the ready line.
const READY_LINE: Duration = Duration::from_millis(500);
/// Room in bytes for what belongs to a frame besides its own bytes: its prefix, or its line end.
const WRAPPING_BYTES_MAX: usize = 16;

/// The library's limits, for frames of at most `frame_bytes_max` bytes without what wraps them.
pub fn limits(given: &LimitOptions, frame_bytes_max: usize) -> Limits {
    Limits {
        sessions_max: given.max_sessions as usize,
        sessions_per_address_max: given.max_sessions_per_ip,
        frame_bytes_max: frame_bytes_max.saturating_add(WRAPPING_BYTES_MAX),
        send_low_bytes: given.send_low.0,
        send_high_bytes: given.send_high.0,
        send_max_bytes: given.send_max.0,
        idle_timeout: given.idle_timeout.map(|span| span.0),
        handshake_timeout: given.handshake_timeout.map(|span| span.0),
        write_timeout: Some(given.write_timeout.0),
        drain_timeout: given.drain_timeout.0,
        ..Limits::default()
    }
}

/// A session is read while its queue is not over the high mark, so that much may lie before its
/// longest answer, of `answer_bytes`; `what` says which answer that is.
pub fn check_that_an_answer_fits(limits: &Limits, answer_bytes: usize, what: &str) -> Result<()> {
    let needed = limits.send_high_bytes.saturating_add(answer_bytes);
    if limits.send_max_bytes >= needed {
        return Ok(());
    }
    Err(Error::settings(format!(
        "--send-max {} cannot hold --send-high {} and {what}; make --send-max at least {}",
        Bytes(limits.send_max_bytes),
        Bytes(limits.send_high_bytes),
        Bytes(needed)
    )))
}

/// Frames must have room for what is said in them: `needed` bytes, for `what`.
pub fn check_that_a_frame_has_room(
    frame_bytes_max: usize,
    needed: usize,
    what: &str,
) -> Result<()> {
    if frame_bytes_max >= needed {
        return Ok(());
    }
    Err(Error::settings(format!(
        "--max-frame {} has no room for {what}; make it at least {}",
        Bytes(frame_bytes_max),
        Bytes(needed)
    )))
}

/// Listens, also at the addresses for browsers, says so, and serves until it is stopped by a signal.
/// `make` is told how to reach the server's sessions, and makes what makes a handler for each thread.
pub fn serve<H: Handler, F: Fn(usize) -> H + Send + Sync>(
    service: &Identity,
    options: &ServerOptions,
    web: &[String],
    limits: Limits,
    make: impl FnOnce(Remote) -> F,
) -> Result<()> {
    let addresses = options::addresses(options, web)?;
    options::check(options, &addresses)?;
    let counted = Arc::new(Mutex::new(Stats::default()));
    let sum = counted.clone();
    let mut builder = Server::builder()
        .limits(limits)
        .topology(topology::topology(&options.topology)?)
        .pin(options.topology.pin)
        .poller(options.poller)
        .trigger(options.trigger)
        .measure_waits(options.measure_waits)
        .socket_options(options.profile.map(ProfileName::options).unwrap_or_default())
        .stop_on_signals()
        .on_incident(move |incident| match incident {
            Incident::Ended { stats } => total(&sum).add(&stats),
            other => log::incident(&other),
        });
    if let Some(callers) = options.backlog {
        warn_of_backlog(callers);
        // The kernel takes less than either (listen(2)).
        builder = builder.backlog(i32::try_from(callers).unwrap_or(i32::MAX));
    }
    let listen =
        |builder: Builder, (_, address): &(_, Address)| builder.listen(address.to_string());
    let server = addresses.iter().fold(builder, listen).bind()?;
    let ready = ready_line(service.name, server.addresses(), options);
    let handler = make(server.remote());
    signals::end_at_the_second().map_err(|error| {
        Error::system("watching signals", Errno(error.raw_os_error().unwrap_or_default()))
    })?;
    let (announced, is_announced) = channel();
    let end = server.on_ready(move || announce(ready, announced)).run(handler);
    // A reader that was slow to come may still be there.
    let _or_not = is_announced.recv_timeout(READY_LINE);
    info!("ended: {}", totals(&total(&counted)));
    end
}

/// Says so if the kernel keeps fewer callers than were asked for (listen(2)).
fn warn_of_backlog(callers: u32) {
    let text = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    if let Ok(most) = text.trim().parse::<u32>()
        && callers > most
    {
        warn!("--backlog {callers}: the kernel keeps {most} callers at most (net.core.somaxconn)");
    }
}

/// What all threads have counted so far; a thread that panicked meanwhile has left it whole.
fn total(counted: &Mutex<Stats>) -> MutexGuard<'_, Stats> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The line that tells whoever started us that callers can connect.
fn ready_line(service: &str, addresses: &[Address], options: &ServerOptions) -> String {
    let plain = options.listen.len();
    let spelled = |(nth, address): (usize, &Address)| match address {
        Address::Tcp(_) if nth >= plain => format!("http://{address}/"),
        _ => address.to_string(),
    };
    let addresses: Vec<String> = addresses.iter().enumerate().map(spelled).collect();
    format!("serving {service} on {} ({})", addresses.join(", "), options.how())
}

/// Writes the ready line, in a thread that ends with it: standard output may be full, and a server is
/// worth having also when nobody reads it. `announced` is dropped when it is written.
fn announce(ready: String, announced: Sender<()>) {
    info!("{ready}");
    let write = move || {
        let _announced = announced;
        let mut stdout = io::stdout().lock();
        if let Err(error) = writeln!(stdout, "{ready}").and_then(|()| stdout.flush()) {
            warn!("the ready line reached nobody: {error}");
        }
    };
    if let Err(error) = thread::Builder::new().name("readyloop-ready".to_string()).spawn(write) {
        warn!("the ready line was not written: {error}");
    }
}

/// What was done, on one line.
fn totals(stats: &Stats) -> String {
    let kinds = CloseReason::KIND_NAMES.iter().zip(&stats.closed);
    let closed: Vec<String> = kinds
        .filter(|(_, count)| **count > 0)
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let closed = if closed.is_empty() { "none".to_string() } else { closed.join(", ") };
    format!(
        "{} sessions (closed: {closed}), {} refused, {} frames, {} bytes in with {} reads, \
         {} bytes out with {} writes, {} pauses, {} turns{}",
        stats.opened,
        stats.refused_by_limit + stats.refused_by_descriptors,
        stats.frames,
        stats.recv_bytes,
        stats.recvs,
        stats.sent_bytes,
        stats.sends,
        stats.pauses,
        stats.turns,
        waits(stats)
    )
}

/// What stands before and behind the length of a wait call, for whoever reads the totals.
pub const WAITED: (&str, &str) = (", ", " us in a wait call (median)");

/// How long a wait call took, if that was measured.
fn waits(stats: &Stats) -> String {
    if stats.waits.count() == 0 {
        return String::new();
    }
    let micros = stats.waits.quantile(0.5).as_secs_f64() * 1e6;
    format!("{}{micros:.1}{}", WAITED.0, WAITED.1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::args::server_options;

    #[test]
    fn every_limit_on_the_command_line_is_one_of_the_servers() {
        let line = "readyloop serve echo --max-sessions 1 --max-sessions-per-ip 2 --idle-timeout 3s \
                    --handshake-timeout 4s --write-timeout 10s --drain-timeout 5ms --send-low 6 --send-high 7 --send-max 8";
        let options = server_options(line);
        let expected = Limits {
            sessions_max: 1,
            sessions_per_address_max: Some(2),
            idle_timeout: Some(Duration::from_secs(3)),
            handshake_timeout: Some(Duration::from_secs(4)),
            write_timeout: Some(Duration::from_secs(10)),
            drain_timeout: Duration::from_millis(5),
            send_low_bytes: 6,
            send_high_bytes: 7,
            send_max_bytes: 8,
            frame_bytes_max: 9 + 16,
            ..Limits::default()
        };
        assert_eq!(limits(&options.limits, 9), expected);
    }

    #[test]
    fn limits_that_were_not_given_are_the_librarys() {
        let options = server_options("readyloop serve echo");
        let expected = Limits { frame_bytes_max: 9 + 16, ..Limits::default() };
        assert_eq!(limits(&options.limits, 9), expected);
    }
}
