//! What `bench` is told.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use crate::framing::Framing;
use crate::topology::REACTORS_MAX;
use crate::units::{self, Bytes, Span};

#[derive(Subcommand)]
pub enum Bench {
    /// Frames that come back
    #[command(after_help = BENCH_NOTES)]
    Echo(BenchEcho),
    /// One SET for nine GETs, on 10,000 keys, of a server that speaks RESP
    #[command(after_help = BENCH_NOTES)]
    Kv(BenchOptions),
    /// GET /; with --size, POST /echo of a body
    #[command(after_help = BENCH_NOTES)]
    Http(BenchOptions),
}

impl Bench {
    /// What is asked, in words.
    pub fn what(&self) -> String {
        let target = &self.options().target;
        match self {
            Bench::Echo(echo) => format!("echo {} at {target}", echo.framing),
            Bench::Kv(_) => format!("kv at {target}"),
            Bench::Http(_) => format!("http at {target}"),
        }
    }

    /// What each kind is told.
    pub fn options(&self) -> &BenchOptions {
        match self {
            Bench::Echo(echo) => &echo.options,
            Bench::Kv(options) | Bench::Http(options) => options,
        }
    }
}

const BENCH_NOTES: &str = "\
Without --rate, each answer lets the next request go (closed loop): a server that stalls is asked less,
and its latencies look better than they are. With --rate, requests are due at fixed moments and latency
counts from then (open loop); a thread does not sleep then.

BYTES is 65536, 64k or 64KiB, 1m or 1MiB, 1g or 1GiB. DUR is 500us, 5ms, 2s, 1m or 1h.
Exit status: 0 measured, 1 the server did not answer, or wrongly, or standard output cannot be written,
2 the options must change.";

/// More than any machine could ask in a second; what is due and not asked is remembered.
const RATE_MAX: u32 = 10_000_000;

/// What `bench echo` is told.
#[derive(clap::Args)]
pub struct BenchEcho {
    #[command(flatten)]
    pub options: BenchOptions,

    /// How the server cuts frames: raw, lines, or length[:1|2|4|8[be|le]]
    #[arg(long, default_value_t = Framing::DEFAULT)]
    pub framing: Framing,
}

/// What every bench is told.
#[derive(clap::Args)]
pub struct BenchOptions {
    /// The server: 127.0.0.1:7000, [::1]:7000 or unix:/path
    #[arg(long, value_name = "ADDR")]
    pub target: String,

    /// Sessions that ask
    #[arg(long, value_name = "N", value_parser = units::count, default_value_t = 100)]
    pub sessions: u32,

    /// Sessions that are only there
    #[arg(long, value_name = "N", value_parser = units::count_or_none, default_value_t = 0)]
    pub idle: u32,

    /// Sessions that send without pause and wait for no answer; what they do is told apart
    #[arg(long, value_name = "N", value_parser = units::count_or_none, default_value_t = 0)]
    pub firehose: u32,

    /// The size of a frame, a value, a body [default: 64; http: no body]
    #[arg(long, value_name = "BYTES")]
    pub size: Option<Bytes>,

    /// Requests in flight on each session, at most
    #[arg(long, value_name = "N", value_parser = units::count, default_value_t = 1)]
    pub pipeline: u32,

    /// For how long to measure, when all sessions are open
    #[arg(long, value_name = "DUR", value_parser = units::time)]
    #[arg(default_value_t = Span(Duration::from_secs(10)))]
    pub duration: Span,

    /// Requests that are due in each second, on all sessions [default: as many as are answered]
    #[arg(long, value_name = "N", value_parser = units::number(1..=RATE_MAX))]
    pub rate: Option<u32>,

    /// Threads that ask [default: as many as RLIMIT_NOFILE demands for the sessions]
    #[arg(long, value_name = "N", value_parser = units::number(1..=REACTORS_MAX))]
    pub threads: Option<u32>,

    /// Tell the CPU time and the memory of this local process, the server
    #[arg(long, value_name = "PID", value_parser = units::number(1..=i32::MAX as u32))]
    pub pid: Option<u32>,

    /// Write what was measured as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Draw the latencies by percentile as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}
