//! The command line, as text: which options there are, what they mean, what they are by default.
//!
//! The texts of the fields are what `--help` prints. An option exists only if something obeys it.
//! What options must not contradict is checked where they are obeyed.

mod bench;

use std::path::PathBuf;

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};
use readyloop::{Balance, Limits, Poller, SlowMember, SocketOptions, Trigger};

use crate::framing::Framing;
use crate::topology::{AcceptName, FdTablesName, REACTORS_MAX, TopologyName, WORKERS_MAX};
use crate::units::{self, Bytes, Span, SpanRange};
use crate::{echo, http, kv, rooms};

pub use bench::{Bench, BenchEcho, BenchOptions};

/// Ready-made services on readyloop, an epoll reactor for stateful TCP servers.
#[derive(Parser)]
#[command(name = "readyloop", version, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run a ready-made service until SIGTERM, SIGINT or SIGHUP
    #[command(subcommand)]
    Serve(Service),
    /// Ask a server for as long as is said, and tell how fast it answered
    #[command(subcommand)]
    Bench(Bench),
    /// See what idle sessions cost: select, poll and epoll, with more and more of them
    #[command(after_help = COMPARE_NOTES)]
    Compare(CompareOptions),
}

const COMPARE_NOTES: &str = "\
Each point is a server process of its own, serve echo, asked by --active sessions, one request in flight
on each, while the others are only there. Rounds are interleaved, medians are told. Where one thread's
descriptors (RLIMIT_NOFILE) do not suffice, the server has several reactors with a table each; then each
of them watches its share.

Exit status: 0 measured, 1 a server or its load failed, or standard output cannot be written, 2 the
options must change.";

/// What `compare` is told.
#[derive(clap::Args)]
pub struct CompareOptions {
    /// Which pollers, by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "select,poll,epoll")]
    #[arg(value_parser = one_of(&Poller::NAMES))]
    pub pollers: Vec<Poller>,

    /// How many idle sessions, by commas
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "0,1000,10000,100000")]
    #[arg(value_parser = units::count_or_none)]
    pub idle: Vec<u32>,

    /// Sessions that ask
    #[arg(long, value_name = "N", value_parser = units::count, default_value_t = 100)]
    pub active: u32,

    /// For how long each point is measured
    #[arg(long, value_name = "DUR", value_parser = units::time)]
    #[arg(default_value_t = Span(Duration::from_secs(2)))]
    pub duration: Span,

    /// How often each point is measured
    #[arg(long, value_name = "N", value_parser = units::count, default_value_t = 3)]
    pub rounds: u32,

    /// Reactors of each server, and threads of its load, so that points differ in nothing but who is
    /// idle [default: as many as RLIMIT_NOFILE demands for each point]
    #[arg(long, value_name = "N", value_parser = units::count)]
    pub reactors: Option<u32>,

    /// Write compare.csv and compare.svg there; the folder is made if all but itself is there
    /// [default: none are written]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Subcommand)]
pub enum Service {
    /// Send every frame back to its sender
    #[command(after_help = NOTES)]
    Echo(EchoOptions),
    /// Answer HTTP/1.1 requests: a text at /, the body back at /echo, files at /static/
    #[command(after_help = NOTES)]
    Http(HttpOptions),

    /// Keep keys and values in memory, for every client of Redis; nothing is kept on disk
    #[command(after_help = NOTES)]
    Kv(KvOptions),

    /// People in rooms who talk to each other: in lines, and on a page in a browser
    #[command(after_help = NOTES)]
    Rooms(RoomsOptions),
}

const NOTES: &str = "\
BYTES is 65536, 64k or 64KiB, 1m or 1MiB, 1g or 1GiB. DUR is 500us, 5ms, 2s, 1m or 1h.

When callers can connect, one line on standard output says where:
  serving echo on 127.0.0.1:7000 (single, epoll, level)
SIGTERM, SIGINT or SIGHUP drains and then stops; a second one stops at once. A SIGHUP that was ignored
at the start (nohup) stays ignored.
Exit status: 0 stopped as asked, 1 cannot start or go on, 2 the options must change.";

/// What `serve echo` is told.
#[derive(clap::Args)]
pub struct EchoOptions {
    #[command(flatten)]
    pub server: ServerOptions,

    /// How bytes become frames: raw, lines, or length[:1|2|4|8[be|le]]; a frame excludes its prefix
    /// or line end, and the reply carries one again
    #[arg(long, default_value_t = Framing::DEFAULT, help_heading = "Echo")]
    pub framing: Framing,

    /// Burn CPU for this long on every frame, or for a random time of a range: 5ms, 0us..20us
    /// [default: none]
    #[arg(long, value_name = "DUR", help_heading = "Echo")]
    pub handler_cost: Option<SpanRange>,

    /// Burn it for one session in N only: for the first that is opened, the one N later, and so on
    #[arg(long, value_name = "N", value_parser = units::count, requires = "handler_cost")]
    #[arg(default_value_t = 1, hide_default_value = true, help_heading = "Echo")]
    pub costly: u32,
}

/// What `serve http` is told. A body is its longest frame.
#[derive(clap::Args)]
pub struct HttpOptions {
    #[command(flatten)]
    pub server: ServerOptions,

    /// Serve the files below this directory at /static/ [default: none]
    #[arg(long, value_name = "DIR", help_heading = "HTTP")]
    pub root: Option<PathBuf>,

    /// The longest head of a request
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(16 << 10), help_heading = "HTTP")]
    pub max_head: Bytes,
}

/// What `serve kv` is told.
#[derive(clap::Args)]
pub struct KvOptions {
    #[command(flatten)]
    pub server: ServerOptions,

    /// Refuse commands that need memory while keys and values take more than this, with 100 bytes
    /// for each key [default: no limit]
    #[arg(long, value_name = "BYTES", help_heading = "KV")]
    pub max_memory: Option<Bytes>,
}

/// What `serve rooms` is told.
#[derive(clap::Args)]
pub struct RoomsOptions {
    #[command(flatten)]
    pub server: ServerOptions,

    /// Serve a page, and WebSocket at /ws, at this address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7180", help_heading = "Rooms")]
    pub web: String,

    /// Rooms, also empty ones that are remembered
    #[arg(long, value_name = "N", value_parser = units::count, default_value_t = 1_000)]
    #[arg(help_heading = "Rooms")]
    pub max_rooms: u32,

    /// Rooms in which one session is [default: 20]
    #[arg(long, value_name = "N", value_parser = units::count, help_heading = "Rooms")]
    pub max_rooms_per_session: Option<u32>,

    /// The longest name, of a person or of a room
    #[arg(long, value_name = "BYTES", value_parser = units::size, default_value_t = Bytes(24))]
    #[arg(help_heading = "Rooms")]
    pub max_name: Bytes,

    /// Lines that a room remembers [default: 200]
    #[arg(long, value_name = "N", value_parser = units::count, help_heading = "Rooms")]
    pub history: Option<u32>,

    /// Bytes of lines that a room remembers; 0 for no line
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(64 << 10), help_heading = "Rooms")]
    pub history_bytes: Bytes,

    /// Lines that a session may send in a second; a new name counts as one for each room that it is in
    #[arg(long, value_name = "N", value_parser = units::number(1..=rooms::RATE_MAX))]
    #[arg(default_value_t = 10, help_heading = "Rooms")]
    pub rate: u32,

    /// Lines that it may send at once after a silence
    #[arg(long, value_name = "N", value_parser = units::count, default_value_t = 20)]
    #[arg(help_heading = "Rooms")]
    pub burst: u32,

    /// Ask a session that was silent for so long whether it is there; after twice as long, it is not.
    /// An --idle-timeout must be longer
    #[arg(long, value_name = "DUR", value_parser = units::time)]
    #[arg(default_value_t = Span(Duration::from_secs(30)), help_heading = "Rooms")]
    pub heartbeat: Span,

    /// What becomes of lines for a member that does not read them: it misses them, or is closed
    #[arg(long, default_value = "drop", value_parser = one_of(&SlowName::NAMES))]
    #[arg(help_heading = "Rooms")]
    pub slow: SlowName,
}

/// What becomes of lines for members that do not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlowName(pub SlowMember);

impl SlowName {
    const NAMES: [(&'static str, SlowName); 2] =
        [("drop", SlowName(SlowMember::DropMessage)), ("close", SlowName(SlowMember::CloseMember))];
}

/// What connections are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProfileName {
    Game,
    Trading,
    Bulk,
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ProfileName::NAMES.iter().find(|(_, profile)| profile == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl ProfileName {
    const NAMES: [(&'static str, ProfileName); 3] = [
        ("game", ProfileName::Game),
        ("trading", ProfileName::Trading),
        ("bulk", ProfileName::Bulk),
    ];

    /// What the kernel is told about them.
    pub fn options(self) -> SocketOptions {
        match self {
            ProfileName::Game => SocketOptions::game(),
            ProfileName::Trading => SocketOptions::trading(),
            ProfileName::Bulk => SocketOptions::bulk(),
        }
    }
}

/// What every service is told.
#[derive(clap::Args)]
#[command(next_help_heading = "Server")]
pub struct ServerOptions {
    /// Listen on 127.0.0.1:7000, [::1]:7000 or unix:/path; may be given many times; port 0 takes a
    /// free port
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,

    #[command(flatten)]
    pub topology: TopologyOptions,

    /// Which system call tells about readiness
    #[arg(long, default_value = "epoll", value_parser = one_of(&Poller::NAMES))]
    pub poller: Poller,

    /// Whether readiness is told while it lasts, or once when it begins (epoll only)
    #[arg(long, default_value = "level", value_parser = one_of(&Trigger::NAMES))]
    pub trigger: Trigger,

    /// Measure how long wait calls take, for the totals that -v logs at the end; needs -v
    #[arg(long)]
    pub measure_waits: bool,

    /// What connections are for, which decides what the kernel is told about them: how much it keeps,
    /// and when it gives up a peer that is silent [default: keep-alive after a minute, and nothing else]
    #[arg(long, value_parser = one_of(&ProfileName::NAMES))]
    pub profile: Option<ProfileName>,

    /// Callers that the kernel lets wait to be accepted [default: net.core.somaxconn, the most]
    #[arg(long, value_name = "N", value_parser = units::count)]
    pub backlog: Option<u32>,

    #[command(flatten)]
    pub limits: LimitOptions,

    #[command(flatten)]
    pub log: LogOptions,
}

/// How the work is spread over threads.
#[derive(clap::Args)]
#[command(next_help_heading = "Threads")]
pub struct TopologyOptions {
    /// single: one thread does everything; multi: several reactors, each session on one of them;
    /// workers: one reactor or several, and a pool of threads that run handlers
    #[arg(long, default_value = "single", value_parser = one_of(&TopologyName::NAMES))]
    pub topology: TopologyName,

    /// How many reactors [default: multi, one for each CPU; workers, 1]
    #[arg(long, value_name = "N", value_parser = units::number(1..=REACTORS_MAX))]
    pub reactors: Option<u32>,

    /// workers: how many workers [default: one for each CPU]
    #[arg(long, value_name = "N", value_parser = units::number(1..=WORKERS_MAX))]
    pub workers: Option<u32>,

    /// Several reactors: one acceptor hands callers over, or every reactor listens for itself
    /// (SO_REUSEPORT) [default: handoff]
    #[arg(long, value_parser = one_of(&AcceptName::NAMES))]
    pub accept: Option<AcceptName>,

    /// handoff: which reactor gets a caller [default: round-robin]
    #[arg(long, value_parser = one_of(&Balance::NAMES))]
    pub balance: Option<Balance>,

    /// reuseport: one descriptor table for all, or one for each reactor: then RLIMIT_NOFILE counts
    /// for each of them [default: shared]
    #[arg(long, value_parser = one_of(&FdTablesName::NAMES))]
    pub fd_tables: Option<FdTablesName>,

    /// Run every thread that serves on one CPU of its own
    #[arg(long)]
    pub pin: bool,
}

/// A reactor has no more slots.
pub const SESSIONS_MAX: u32 = (1 << 24) - 1;

/// The bounds that a service keeps; where one is exceeded, that session is closed.
#[derive(clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitOptions {
    /// Sessions open at once; further callers are hung up on
    #[arg(long, value_name = "N", value_parser = units::number(1..=SESSIONS_MAX))]
    #[arg(default_value_t = Limits::default().sessions_max as u32)]
    pub max_sessions: u32,

    /// Sessions open at once from one IP address: less than --max-sessions [default: no limit]
    #[arg(long, value_name = "N", value_parser = units::count)]
    pub max_sessions_per_ip: Option<u32>,

    /// The longest frame
    #[arg(long, value_name = "BYTES")]
    pub max_frame: Option<Bytes>,

    /// How long a session may send nothing and take nothing. Time does not count in which the server
    /// does not read the session (its queue is over the high mark, its handler is busy on a worker),
    /// nor in which bytes wait for the peer, for which there is --write-timeout [default: no limit]
    #[arg(long, value_name = "DUR", value_parser = units::time)]
    pub idle_timeout: Option<Span>,

    /// How long a session's first frame may take to arrive; time in which the server does not read the
    /// session does not count [default: no limit]
    #[arg(long, value_name = "DUR", value_parser = units::time)]
    pub handshake_timeout: Option<Span>,

    /// How long a peer may take (almost) none of the bytes that wait for it
    #[arg(long, value_name = "DUR", value_parser = units::time)]
    #[arg(default_value_t = Span(Limits::default().write_timeout.unwrap_or_default()))]
    pub write_timeout: Span,

    /// How long a closing session may take to accept its last bytes, and a stopping server to end
    #[arg(long, value_name = "DUR", default_value_t = Span(Limits::default().drain_timeout))]
    pub drain_timeout: Span,

    /// Low mark: read a paused session again when this much is left in its send queue
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(Limits::default().send_low_bytes))]
    pub send_low: Bytes,

    /// High mark: pause reading a session while its send queue is longer than this
    #[arg(long, value_name = "BYTES", value_parser = units::size)]
    #[arg(default_value_t = Bytes(Limits::default().send_high_bytes))]
    pub send_high: Bytes,

    /// Close a session whose send queue would become longer than this
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(Limits::default().send_max_bytes))]
    pub send_max: Bytes,
}

/// How much is logged to standard error.
#[derive(clap::Args)]
#[command(next_help_heading = "Logging")]
pub struct LogOptions {
    /// Log errors only, and no warnings
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Log start, drain and end with totals; -vv: each session too
    #[arg(short, long, action = ArgAction::Count, value_parser = clap::value_parser!(u8).range(..=2))]
    pub verbose: u8,
}

/// What differs from service to service in the options that all of them have.
pub struct Identity {
    /// What it is called, here and on the ready line.
    pub name: &'static str,
    /// Where it listens if nothing else is said.
    pub address: &'static str,
    /// What `--max-frame` limits, and how much it is if nothing else is said.
    pub max_frame: &'static str,
}

const SERVICES: [&Identity; 4] =
    [&echo::IDENTITY, &http::IDENTITY, &kv::IDENTITY, &rooms::IDENTITY];

/// The command line.
fn command() -> clap::Command {
    let with = |serve: clap::Command, identity: &'static Identity| {
        serve.mut_subcommand(identity.name, |service| {
            service
                .mut_arg("listen", |listen| listen.default_value(identity.address))
                .mut_arg("max_frame", |max_frame| max_frame.help(identity.max_frame))
        })
    };
    let command = Args::command();
    with_negative_numbers(
        command.mut_subcommand("serve", |serve| SERVICES.into_iter().fold(serve, with)),
    )
}

/// A negative number is the value of the option before it, and not an option that nobody knows: so
/// what is wrong is told with that option's name.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let lets = |arg: clap::Arg| match arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    };
    command.mut_args(lets).mut_subcommands(with_negative_numbers)
}

/// Reads a command line, this process's for instance. Help, and what is wrong with it, are errors.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args, clap::Error> {
    Args::from_arg_matches(&command().try_get_matches_from(words)?)
}

impl Service {
    /// What every service is told.
    pub fn server(&self) -> &ServerOptions {
        match self {
            Service::Echo(options) => &options.server,
            Service::Http(options) => &options.server,
            Service::Kv(options) => &options.server,
            Service::Rooms(options) => &options.server,
        }
    }
}

impl ServerOptions {
    /// How it serves, in the words of the options: `single, epoll, level`.
    pub fn how(&self) -> String {
        format!("{}, {}, {}", self.topology.topology, self.poller, self.trigger)
    }
}

/// Reads one of these names; clap lists them in the help, and in the error about any other.
fn one_of<T: Copy + Send + Sync + 'static>(
    names: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let find = |text: String| names.iter().find(|(name, _)| *name == text);
    PossibleValuesParser::new(names.iter().map(|(name, _)| *name))
        .map(move |text| find(text).expect("a possible value is in the list of names").1)
}

#[cfg(test)]
pub use tests::server_options;

#[cfg(test)]
mod tests {
    use super::*;

    /// What every service is told by this command line.
    pub fn server_options(line: &str) -> ServerOptions {
        let words = line.split_whitespace().map(OsString::from);
        let Command::Serve(service) = parse(words).unwrap().command else {
            panic!("'{line}' serves nothing")
        };
        match service {
            Service::Echo(options) => options.server,
            Service::Http(options) => options.server,
            Service::Kv(options) => options.server,
            Service::Rooms(options) => options.server,
        }
    }

    #[test]
    fn the_command_line_agrees_with_itself() {
        command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let options = server_options("readyloop serve echo");
        assert_eq!(options.poller, Poller::default());
        assert_eq!(options.trigger, Trigger::default());
        assert_eq!(options.how(), "single, epoll, level");
    }
}
