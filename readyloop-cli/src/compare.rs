//! `readyloop compare`: what idle sessions cost a server, by the call that tells it who is ready.
//!
//! It is the experiment behind epoll: so many busy sessions, more and more idle ones, one server
//! process for each point, asked by `bench` in this process.

mod plot;

use std::fmt::{Display, Write as _};
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use readyloop::{Error, Poller, Trigger};
use rustix::process::{Pid, Signal, kill_process};

use crate::args::{BenchOptions, CompareOptions};
use crate::bench;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::serve::WAITED;
use crate::units::Span;

type Result<T> = std::result::Result<T, Failure>;

/// One way to wait, with so many idle sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    pub poller: Poller,
    pub trigger: Trigger,
    pub idle: u32,
    /// How many reactors share the sessions.
    pub reactors: usize,
}

/// What was measured at a point, medians of the rounds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Messages for each second.
    pub throughput: f64,
    /// The server's CPU time for a message, in microseconds.
    pub cost_us: f64,
    /// In microseconds.
    pub p99_us: f64,
    /// How long a wait call took, asleep or looking, in microseconds: the median.
    pub wait_us: f64,
}

/// Measures, prints the table, and writes the files that were asked for.
pub fn run(options: &CompareOptions) -> Result<()> {
    check_that_nothing_is_there_twice("--idle", &options.idle)?;
    check_that_nothing_is_there_twice("--pollers", &options.pollers)?;
    let points = points(options)?;
    // Before an hour is spent, and not after it.
    let files = options.out.as_deref().map(open_files).transpose()?;
    let mut rounds: Vec<Vec<Measured>> = vec![Vec::new(); points.len()];
    let mut progress = Progress::default();
    for round in 0..options.rounds {
        for (nth, point) in points.iter().enumerate() {
            let count = points.len();
            progress.show(&format!(
                "round {}, point {} of {count}: {}",
                round + 1,
                nth + 1,
                name(point)
            ));
            rounds[nth].push(measure(point, options)?);
        }
    }
    progress.clear();
    let medians: Vec<(Point, Measured)> =
        points.into_iter().zip(rounds.iter().map(|rounds| median(rounds))).collect();
    let told = output::tell(&table(options, &medians));
    let written = files.map_or(Ok(()), |files| files.write(options, &medians));
    told.and(written)
}

/// What is there twice would be measured twice, and drawn in one place.
fn check_that_nothing_is_there_twice<T: PartialEq + Display>(
    option: &str,
    all: &[T],
) -> Result<()> {
    let twice = (1..all.len()).find(|nth| all[..*nth].contains(&all[*nth]));
    match twice {
        Some(nth) => {
            Err(Error::settings(format!("{option} has {} twice; leave one out", all[nth])).into())
        }
        None => Ok(()),
    }
}

/// The table and the plot, to be written, and where.
struct Files<'a> {
    csv: Output,
    svg: Output,
    /// Dropped behind those that are in it.
    _folder: MadeFolder<'a>,
}

impl Files<'_> {
    /// Each of them whatever becomes of the other.
    fn write(self, options: &CompareOptions, medians: &[(Point, Measured)]) -> Result<()> {
        let sheet = self.csv.write(&spreadsheet(options, medians));
        let drawn = plot::draw(options.active, medians).map_err(Failure::Others);
        sheet.and(drawn.and_then(|drawn| self.svg.write(&drawn)))
    }
}

/// A folder that is gone again if nothing is written into it.
struct MadeFolder<'a>(Option<&'a Path>);

impl Drop for MadeFolder<'_> {
    fn drop(&mut self) {
        if let Some(folder) = self.0 {
            // It stays if there is something in it.
            let _stays = fs::remove_dir(folder);
        }
    }
}

/// Opens the files in this folder, which is made if only itself is not there: more than one that is
/// missing is a mistake.
fn open_files(path: &Path) -> Result<Files<'_>> {
    let folder = match fs::create_dir(path) {
        Ok(()) => MadeFolder(Some(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => MadeFolder(None),
        Err(error) => return Err(Failure::cannot_write("--out", path, &error)),
    };
    let open = |name| Output::open("--out", &path.join(name));
    Ok(Files { csv: open("compare.csv")?, svg: open("compare.svg")?, _folder: folder })
}

/// Callers are spread by the kernel, and not evenly: so much room is left.
const SPREAD: f64 = 1.15;

/// All points, those of one number of idle sessions after those of a smaller one.
fn points(options: &CompareOptions) -> Result<Vec<Point>> {
    let (_, each) = bench::descriptors();
    let demanded = |idle: u32| {
        let sessions = idle as usize + options.active as usize;
        if sessions <= each { 1 } else { (sessions as f64 * SPREAD / each as f64).ceil() as usize }
    };
    let mut idle = options.idle.clone();
    idle.sort_unstable();
    let most = demanded(idle.last().copied().unwrap_or_default());
    let asked = options.reactors.map(|asked| asked as usize);
    if let Some(asked) = asked.filter(|asked| *asked < most) {
        return Err(Error::settings(format!(
            "--reactors {asked} do not have the descriptors for all sessions; they take {most} \
             (RLIMIT_NOFILE)"
        ))
        .into());
    }
    let threads = asked.unwrap_or(most);
    if threads > bench::THREADS_MAX {
        let option = if asked.is_some() { "--reactors" } else { "--idle and --active" };
        return Err(Error::settings(format!(
            "{option} would take {threads} reactors, but a server has at most {}",
            bench::THREADS_MAX
        ))
        .into());
    }
    let reactors = |idle: u32| asked.unwrap_or_else(|| demanded(idle));
    let triggers = |poller: Poller| match poller {
        Poller::Epoll => vec![Trigger::Level, Trigger::Edge],
        _ => vec![Trigger::Level],
    };
    let ways = |idle: u32| {
        options.pollers.iter().flat_map(move |poller| {
            let point =
                move |trigger| Point { poller: *poller, trigger, idle, reactors: reactors(idle) };
            triggers(*poller).into_iter().map(point)
        })
    };
    Ok(idle.into_iter().flat_map(ways).collect())
}

/// What a way to wait is called.
pub fn name(point: &Point) -> String {
    match point.poller {
        Poller::Epoll => format!("epoll {}", point.trigger),
        poller => poller.to_string(),
    }
}

/// A server in a process of its own; ended when it is dropped.
struct Server {
    child: Child,
    target: String,
}

impl Server {
    fn start(point: &Point) -> Result<Server> {
        let failed = |what: &str, error: io::Error| Failure::Others(format!("{what}: {error}"));
        let program =
            std::env::current_exe().map_err(|error| failed("finding this program", error))?;
        let mut command = Command::new(program);
        command.args(["serve", "echo", "--listen", "127.0.0.1:0", "-v", "--measure-waits"]);
        command.args([
            "--poller",
            &point.poller.to_string(),
            "--trigger",
            &point.trigger.to_string(),
        ]);
        if point.reactors > 1 {
            command.args(["--topology", "multi", "--accept", "reuseport"]);
            command.args(["--fd-tables", "per-reactor", "--reactors", &point.reactors.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed("starting a server", error))?;
        let mut ready = String::new();
        if let Some(stdout) = child.stdout.take() {
            let read = BufReader::new(stdout).read_line(&mut ready);
            read.map_err(|error| failed("waiting for a server", error))?;
        }
        let target = ready.split(' ').nth(3).map(str::to_string);
        match target {
            Some(target) => Ok(Server { child, target }),
            None => {
                Err(Failure::Others(format!("a server does not start: '{}'", ready.trim_end())))
            }
        }
    }

    /// Ends it; how many microseconds a wait call took, at the median.
    fn end(mut self) -> Option<f64> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok()?;
        let mut log = String::new();
        self.child.stderr.take()?.read_to_string(&mut log).ok()?;
        let (before, _) = log.rsplit_once(WAITED.1)?;
        let (_, micros) = before.rsplit_once(WAITED.0)?;
        micros.parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already if all went well.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn measure(point: &Point, options: &CompareOptions) -> Result<Measured> {
    let server = Server::start(point)?;
    let asked = BenchOptions {
        target: server.target.clone(),
        sessions: options.active,
        idle: point.idle,
        firehose: 0,
        size: None,
        pipeline: 1,
        duration: Span(options.duration.0),
        rate: None,
        threads: options.reactors,
        pid: Some(server.child.id()),
        json: None,
        plot: None,
    };
    let report = bench::echo(&name(point), &asked)?;
    if let Some(why) = report.fault() {
        return Err(Failure::Others(format!(
            "{} with {} idle sessions: {why}",
            name(point),
            point.idle
        )));
    }
    let (user, system) = report.server_cost().unwrap_or_default();
    let unread = || Failure::Others("a server did not tell its totals".to_string());
    let wait_us = server.end().ok_or_else(unread)?;
    Ok(Measured {
        throughput: report.throughput(),
        cost_us: user + system,
        p99_us: report.percentile(99.0).unwrap_or_default() as f64 / 1e3,
        wait_us,
    })
}

fn median(rounds: &[Measured]) -> Measured {
    let of = |field: fn(&Measured) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(field).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Measured {
        throughput: of(|each| each.throughput),
        cost_us: of(|each| each.cost_us),
        p99_us: of(|each| each.p99_us),
        wait_us: of(|each| each.wait_us),
    }
}

/// The throughput of the same way to wait with the fewest idle sessions.
fn base(point: &Point, all: &[(Point, Measured)]) -> f64 {
    let same = |other: &Point| (other.poller, other.trigger) == (point.poller, point.trigger);
    all.iter().find(|(other, _)| same(other)).map_or(1.0, |(_, measured)| measured.throughput)
}

/// For people.
fn table(options: &CompareOptions, all: &[(Point, Measured)]) -> String {
    let mut text = format!(
        "{} busy sessions, 64-byte echo, medians of {} rounds of {}\n",
        options.active, options.rounds, options.duration
    );
    text.push_str("  idle  reactors  poller       messages/s  of its best  CPU us/message   p99 us  us/wait call\n");
    for (point, measured) in all {
        writeln!(
            text,
            "{:>6}  {:>8}  {:<11} {:>11.0}  {:>11.2}  {:>14.2}  {:>7.0}  {:>12.1}",
            point.idle,
            point.reactors,
            name(point),
            measured.throughput,
            measured.throughput / base(point, all),
            measured.cost_us,
            measured.p99_us,
            measured.wait_us,
        )
        .expect("writing to a string does not fail");
    }
    text
}

/// For programs.
fn spreadsheet(options: &CompareOptions, all: &[(Point, Measured)]) -> String {
    let mut text = "poller,trigger,active,idle,reactors,messages_per_second,cpu_us_per_message,p99_us,us_per_wait_call\n".to_string();
    for (point, measured) in all {
        let Point { poller, trigger, idle, reactors } = point;
        let Measured { throughput, cost_us, p99_us, wait_us } = measured;
        writeln!(
            text,
            "{poller},{trigger},{},{idle},{reactors},{throughput:.0},{cost_us:.3},{p99_us:.1},{wait_us:.1}",
            options.active
        )
        .expect("writing to a string does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_fails_leaves_no_folder_behind_that_was_not_there() {
        let folder = std::env::temp_dir().join(format!("readyloop-out-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let files = open_files(&folder).unwrap();
        assert!(folder.join("compare.csv").exists());
        drop(files);
        assert!(folder.exists(), "it was there before");
        fs::remove_dir(&folder).unwrap();
        drop(open_files(&folder).unwrap());
        assert!(!folder.exists());
    }
}
