//! `readyloop bench`: asks a server for as long as is said, and tells how fast it answered.
//!
//! It is a readyloop program itself: outbound sessions, the same handler trait, a reactor for each
//! thread. Each thread has a descriptor table of its own where there are several, so one process
//! holds more sessions than `RLIMIT_NOFILE` says.

mod firehose;
mod load;
mod plot;
mod process;
mod report;
mod wire;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use readyloop::framers::{LengthPrefixed, Order, Prefix};
use readyloop::{Accepting, Address, Error, Limits, Lines, Raw, Remote, Server, Topology};
use rustix::process::{Resource, getrlimit};

use crate::args::{Bench, BenchEcho, BenchOptions};
use crate::failure::Failure;
use crate::framing::Framing;
use crate::options::address;
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::topology::{REACTORS_MAX, tables_per_reactor};
use crate::units::Bytes;

use firehose::Firehoses;
use load::{Event, Load, Look, Pending, Plan, Start, histogram};
use process::Usage;
use report::Poured;
pub use report::Report;
use wire::{Count, Echo, Http, Kv, Wire};

const ECHO_BYTES: usize = 64;

/// Runs, and prints the table.
pub fn run(bench: &Bench) -> Result<()> {
    let options = bench.options();
    let size = options.size.map(|bytes| bytes.0);
    check_size(size.unwrap_or(ECHO_BYTES), options.pipeline)?;
    check_threads(options)?;
    options.pid.map(usage).transpose()?;
    let files = Files::open(options)?;
    let what = bench.what();
    let report = match bench {
        Bench::Http(_) => measure(&what, options, Http::new(&options.target, size))?,
        Bench::Kv(_) => measure(&what, options, Kv::new(size.unwrap_or(ECHO_BYTES)))?,
        Bench::Echo(echo) => {
            let bytes = size.unwrap_or(ECHO_BYTES);
            if bytes == 0 && echo.framing == Framing::Raw {
                return Err(Error::settings(
                    "--size 0 has no answer with --framing raw; make it at least 1",
                )
                .into());
            }
            match echo.framing {
                Framing::Raw => measure(&what, options, framed(echo, Raw, bytes)?)?,
                Framing::Lines => {
                    measure(&what, options, framed(echo, Lines::new(bytes + 1), bytes)?)?
                }
                Framing::Length(prefix, order) => {
                    let framer = LengthPrefixed::new(prefix, order, bytes);
                    measure(&what, options, framed(echo, framer, bytes)?)?
                }
            }
        }
    };
    files.tell(&report)
}

/// Echoes of so many bytes, cut by this framer.
fn framed<F: Count>(bench: &BenchEcho, framer: F, bytes: usize) -> Result<Echo<F>> {
    let unspelled =
        || Error::settings(format!("--framing {} cannot spell --size {bytes}", bench.framing));
    Ok(Echo::new(framer, bytes).ok_or_else(unspelled)?)
}

/// Asks for an echo behind lengths, and prints nothing.
pub fn echo(what: &str, options: &BenchOptions) -> Result<Report> {
    let framer = LengthPrefixed::new(Prefix::Four, Order::Big, ECHO_BYTES);
    let echo = Echo::new(framer, ECHO_BYTES).expect("four bytes spell it");
    measure(what, options, echo)
}

/// What is written behind the table.
struct Files {
    json: Option<Output>,
    plot: Option<Output>,
}

impl Files {
    /// Before the time is spent, and not after it.
    fn open(options: &BenchOptions) -> Result<Files> {
        let open = |option, path: &Option<PathBuf>| {
            path.as_deref().map(|path| Output::open(option, path)).transpose()
        };
        let (json, plot) = (open("--json", &options.json)?, open("--plot", &options.plot)?);
        if let (Some(json), Some(plot)) = (&json, &plot)
            && json.is_same_file(plot)
        {
            return Err(Error::settings(
                "--json and --plot are the same file; give each its own, or leave one out",
            )
            .into());
        }
        Ok(Files { json, plot })
    }

    /// Prints the table, and writes the files that were asked for: each of them whatever becomes of
    /// the others, for what was measured is not measured again.
    fn tell(self, report: &Report) -> Result<()> {
        let table = output::tell(&report.to_string());
        let json = self.json.map_or(Ok(()), |json| json.write(&format!("{:#}\n", report.json())));
        let draw = |plot: Output| plot.write(&plot::draw(report).map_err(failed)?);
        let plot = self.plot.map_or(Ok(()), draw);
        let fault = report.fault().map_or(Ok(()), |why| Err(failed(why)));
        table.and(json).and(plot).and(fault)
    }
}

/// What went wrong on the way, and not with the options.
fn failed(why: impl Into<String>) -> Failure {
    Failure::Others(why.into())
}

type Result<T> = std::result::Result<T, Failure>;

/// How many descriptors one table may have (`RLIMIT_NOFILE`), and how many sessions that is for one
/// thread, which needs some besides.
pub fn descriptors() -> (u64, usize) {
    const BESIDE: usize = 64;
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let each = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(BESIDE).max(1);
    (limit, each)
}

/// A thread that asks is a reactor, and a server has no more.
pub const THREADS_MAX: usize = REACTORS_MAX as usize;

/// All sessions, whatever they are there for.
fn sessions(options: &BenchOptions) -> usize {
    let sessions = [options.sessions, options.firehose, options.idle];
    sessions.into_iter().map(|count| count as usize).sum()
}

/// A thread without a session would ask nothing.
fn check_threads(options: &BenchOptions) -> Result<()> {
    let sessions = sessions(options);
    match options.threads {
        Some(threads) if threads as usize > sessions => Err(Error::settings(format!(
            "--threads {threads} are more than --sessions, --idle and --firehose, which are {sessions} \
             together; make it at most {sessions}"
        ))
        .into()),
        _ => Ok(()),
    }
}

/// How many threads hold so many sessions.
fn threads(options: &BenchOptions) -> Result<usize> {
    let sessions = sessions(options);
    let (limit, each) = descriptors();
    let needed = sessions.div_ceil(each).max(1);
    if needed > THREADS_MAX {
        return Err(Error::settings(format!(
            "--sessions, --idle and --firehose are {sessions} together, but {THREADS_MAX} threads hold \
             at most {} (RLIMIT_NOFILE)",
            each.saturating_mul(THREADS_MAX)
        ))
        .into());
    }
    match options.threads.map(|threads| threads as usize) {
        None => Ok(needed),
        Some(threads) if threads >= needed => Ok(threads),
        Some(threads) => Err(Error::settings(format!(
            "--threads {threads} cannot hold {sessions} sessions, because a thread has {limit} \
             descriptors (RLIMIT_NOFILE); make --threads at least {needed}"
        ))
        .into()),
    }
}

/// Whom to ask.
fn target(options: &BenchOptions) -> Result<Address> {
    let target = address("--target", &options.target)?;
    match &target {
        Address::Tcp(to) if to.port() == 0 => Err(Error::settings(format!(
            "--target {target} names no server: port 0 is nobody's; give the port that it listens on"
        ))
        .into()),
        _ => Ok(target),
    }
}

/// The longest request, and all that are in flight on a session, in bytes: what our own limits take of
/// an answer, and of what waits to be sent.
const SIZE_MAX: usize = 8 << 20;
const IN_FLIGHT_MAX: usize = 32 << 20;

/// Room in bytes for what lies around a request's bytes.
const AROUND_BYTES: usize = 256;

/// What is in flight on a session has to fit its send queue.
fn check_size(size: usize, pipeline: u32) -> Result<()> {
    if size > SIZE_MAX {
        let (size, most) = (Bytes(size), Bytes(SIZE_MAX));
        return Err(Error::settings(format!(
            "--size {size} is too large to be asked; make it at most {most}"
        ))
        .into());
    }
    let most = IN_FLIGHT_MAX / (size + AROUND_BYTES);
    if pipeline as usize > most {
        return Err(Error::settings(format!(
            "--pipeline {pipeline} requests of --size {} do not fit what a session may have in \
             flight; make --pipeline at most {most}",
            Bytes(size)
        ))
        .into());
    }
    Ok(())
}

fn measure<W: Wire>(what: &str, options: &BenchOptions, wire: W) -> Result<Report> {
    let threads = threads(options)?;
    let target = target(options)?;
    let (events, heard) = channel();
    let plan = Arc::new(Plan {
        target,
        busy: options.sessions as usize,
        idle: options.idle as usize,
        firehoses: Firehoses::new(options.firehose as usize, &wire)?,
        threads,
        pipeline: options.pipeline as usize,
        rate: options.rate.map(f64::from),
        events: Mutex::new(events),
        counters: Default::default(),
    });
    let topology = match threads {
        1 => Topology::Single,
        reactors => {
            Topology::Multi { reactors, accept: Accepting::ReusePort(tables_per_reactor()) }
        }
    };
    let limits = Limits { drain_timeout: Duration::from_secs(1), ..Limits::default() };
    let limits = plan.firehoses.bounded(limits);
    let server = Server::builder().limits(limits).topology(topology).bind()?;
    let remote = server.remote();
    let collected = Arc::new(Mutex::new(Vec::new()));
    let watch = Watch { plan: plan.clone(), heard, remote: remote.clone(), pid: options.pid };
    let duration = options.duration.0;
    let watched = thread::scope(|scope| {
        let watching = scope.spawn(move || watch.run(duration));
        let ran = server.run(|thread| {
            Load::new(plan.clone(), wire.clone(), remote.clone(), thread, collected.clone())
        });
        let watched = watching.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ran.map_err(Failure::from).and(watched)
    })?;
    let (mut latencies, mut unanswered_for) = (histogram(), Duration::ZERO);
    for each in collected.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        latencies.add(&each.latencies).expect("all have the same bounds");
        unanswered_for = unanswered_for.max(each.unanswered_for);
    }
    let counters = &plan.counters;
    Ok(Report {
        what: what.to_string(),
        sessions: plan.busy,
        idle: plan.idle,
        firehoses: Poured::by(&plan.firehoses),
        pipeline: plan.pipeline,
        rate: options.rate,
        threads,
        measured: watched.measured,
        answers: counters.answers.load(Ordering::Relaxed),
        wrong: counters.wrong.load(Ordering::Relaxed),
        lost: counters.lost.load(Ordering::Relaxed),
        idle_lost: counters.idle_lost.load(Ordering::Relaxed),
        pending: watched.pending,
        sent_bytes: counters.sent_bytes.load(Ordering::Relaxed),
        received_bytes: counters.received_bytes.load(Ordering::Relaxed),
        latencies,
        unanswered_for,
        server: watched.server,
        cut_short: watched.cut_short,
    })
}

/// Whoever says when it begins and ends.
struct Watch {
    plan: Arc<Plan>,
    heard: Receiver<Event>,
    remote: Remote,
    pid: Option<u32>,
}

/// What he saw.
struct Watched {
    measured: Duration,
    server: Option<(u32, Usage, Usage)>,
    /// What was not answered, also not in a while behind the end.
    pending: Pending,
    /// Why it ended early.
    cut_short: Option<String>,
}

/// How long the last requests may take to be answered, behind the end.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// A thread's sessions: how they begin, and what they wait for.
type Ready = (u8, Start, Look);

impl Watch {
    fn run(self, duration: Duration) -> Result<Watched> {
        let watched = self.wait_for_all().and_then(|starts| self.measure(starts, duration));
        self.plan.counters.over.store(true, Ordering::Relaxed);
        self.remote.stop_now();
        watched
    }

    /// Waits until every thread has all of its sessions.
    fn wait_for_all(&self) -> Result<Vec<Ready>> {
        let (mut starts, mut progress) = (Vec::new(), Progress::default());
        while starts.len() < self.plan.threads {
            match self.heard.recv_timeout(Duration::from_millis(200)) {
                Ok(Event::AllOpen(reactor, start, look)) => starts.push((reactor, start, look)),
                Ok(Event::Fault(why)) => return Err(failed(why)),
                Err(RecvTimeoutError::Timeout) => {
                    let open = self.plan.counters.open.load(Ordering::Relaxed);
                    progress.show(&format!("{open} sessions open"));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(failed("no thread is left")),
            }
        }
        progress.clear();
        Ok(starts)
    }

    fn measure(&self, starts: Vec<Ready>, duration: Duration) -> Result<Watched> {
        let counters = &self.plan.counters;
        let before = self.pid.map(usage).transpose()?;
        counters.measures.store(true, Ordering::Relaxed);
        let begin = Instant::now();
        let mut looks = Vec::new();
        for (reactor, start, look) in starts {
            looks.push(look);
            self.remote.run_on(reactor, start).map_err(|_| failed("a thread has ended"))?;
        }
        let (mut progress, mut last, mut cut_short) = (Progress::default(), 0, None);
        while begin.elapsed() < duration && cut_short.is_none() {
            let rest = duration.saturating_sub(begin.elapsed()).min(Duration::from_secs(1));
            if let Ok(Event::Fault(why)) = self.heard.recv_timeout(rest) {
                cut_short = Some(why);
            }
            let answers = counters.answers.load(Ordering::Relaxed);
            let seconds = begin.elapsed().as_secs_f64();
            progress
                .show(&format!("{seconds:.0} s, {} answers in the last second", answers - last));
            last = answers;
        }
        counters.measures.store(false, Ordering::Relaxed);
        let measured = begin.elapsed();
        progress.clear();
        // A server that is gone costs nothing any more.
        let after = self.pid.and_then(|pid| Usage::of(pid).ok());
        let server =
            self.pid.zip(before).zip(after).map(|((pid, before), after)| (pid, before, after));
        let pending = self.wait_for_answers(&looks, &mut cut_short);
        Ok(Watched { measured, server, pending, cut_short })
    }

    /// Waits for the answers to what was asked before the end, but not for long, and not for those
    /// who are lost. Says what was not answered.
    fn wait_for_answers(&self, looks: &[Look], cut_short: &mut Option<String>) -> Pending {
        const AGAIN: Duration = Duration::from_millis(2);
        let begin = Instant::now();
        loop {
            let pending = looks.iter().fold(Pending::default(), |sum, look| sum + look());
            let is_over = cut_short.is_some() || begin.elapsed() >= LAST_ANSWERS;
            if pending.in_flight == 0 || is_over {
                return pending;
            }
            if let Ok(Event::Fault(why)) = self.heard.recv_timeout(AGAIN) {
                *cut_short = Some(why);
            }
        }
    }
}

fn usage(pid: u32) -> Result<Usage> {
    Usage::of(pid).map_err(|error| {
        Error::settings(format!("--pid {pid} cannot be looked at: {error}")).into()
    })
}
