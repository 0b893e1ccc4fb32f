//! From options to a topology: what goes together, and clear words about what does not.

use std::fmt;
use std::thread::available_parallelism;

use readyloop::{Accepting, Error, FdTables, Result, Topology};

use crate::args::TopologyOptions;

/// Where work crosses a thread, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TopologyName {
    Single,
    Multi,
    Workers,
}

/// How callers come to one of several reactors, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AcceptName {
    Handoff,
    ReusePort,
}

/// A session's id has so much room for its reactor, and more workers than that are a mistake: the
/// library takes no more of either.
pub const REACTORS_MAX: u32 = 255;
pub const WORKERS_MAX: u32 = 1024;

/// Whose descriptors lie in one table, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FdTablesName {
    Shared,
    PerReactor,
}

impl TopologyName {
    pub const NAMES: [(&'static str, TopologyName); 3] = [
        ("single", TopologyName::Single),
        ("multi", TopologyName::Multi),
        ("workers", TopologyName::Workers),
    ];
}

impl AcceptName {
    pub const NAMES: [(&'static str, AcceptName); 2] =
        [("handoff", AcceptName::Handoff), ("reuseport", AcceptName::ReusePort)];
}

impl FdTablesName {
    pub const NAMES: [(&'static str, FdTablesName); 2] =
        [("shared", FdTablesName::Shared), ("per-reactor", FdTablesName::PerReactor)];
}

impl fmt::Display for TopologyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = TopologyName::NAMES.iter().find(|(_, topology)| topology == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

/// The topology that was asked for, if all of what was asked for has a meaning in it.
pub fn topology(options: &TopologyOptions) -> Result<Topology> {
    let of_several = [
        ("--accept", options.accept.is_some()),
        ("--balance", options.balance.is_some()),
        ("--fd-tables", options.fd_tables.is_some()),
    ];
    // An acceptor, and a port that other processes may share, are there for one reactor too.
    let of_choice = &of_several[1..];
    let of_reactors = [("--reactors", options.reactors.is_some())];
    let of_workers = [("--workers", options.workers.is_some())];
    let no = |given: &[(&str, bool)], means_nothing_to: &str, way_out: &str| {
        let Some((option, _)) = given.iter().find(|(_, given)| *given) else { return Ok(()) };
        Err(Error::settings(format!(
            "{option} means nothing to {means_nothing_to}; leave it out, or use {way_out}"
        )))
    };
    let to_one = ("one reactor", "--reactors 2 or more");
    let (multi, workers) = ("--topology multi", "--topology workers");
    match options.topology {
        TopologyName::Single => {
            no(&of_reactors, "--topology single", multi)?;
            no(&of_workers, "--topology single", workers)?;
            no(&of_several, "--topology single", multi)?;
            Ok(Topology::Single)
        }
        TopologyName::Multi => {
            no(&of_workers, multi, workers)?;
            if options.reactors == Some(1) {
                no(of_choice, to_one.0, to_one.1)?;
            }
            let reactors = threads(options.reactors, REACTORS_MAX);
            Ok(Topology::Multi { reactors, accept: accepting(options)? })
        }
        TopologyName::Workers => {
            let reactors = options.reactors.unwrap_or(1) as usize;
            if reactors == 1 {
                no(&of_several, to_one.0, to_one.1)?;
            }
            let workers = threads(options.workers, WORKERS_MAX);
            Ok(Topology::Workers { workers, reactors, accept: accepting(options)? })
        }
    }
}

fn accepting(options: &TopologyOptions) -> Result<Accepting> {
    let no = |what: &str| Err(Error::settings(what));
    match options.accept.unwrap_or(AcceptName::Handoff) {
        AcceptName::Handoff if options.fd_tables == Some(FdTablesName::PerReactor) => no(
            "--fd-tables per-reactor cannot go with --accept handoff: a socket that the acceptor \
             takes lies in the acceptor's table; use --accept reuseport",
        ),
        AcceptName::Handoff => Ok(Accepting::Handoff(options.balance.unwrap_or_default())),
        AcceptName::ReusePort if options.balance.is_some() => no(
            "--balance means nothing to --accept reuseport, where the kernel spreads the callers; \
             leave it out, or use --accept handoff",
        ),
        AcceptName::ReusePort => Ok(Accepting::ReusePort(match options.fd_tables {
            Some(FdTablesName::PerReactor) => tables_per_reactor(),
            _ => FdTables::shared(),
        })),
    }
}

/// A descriptor table for each reactor.
#[allow(unsafe_code)]
pub fn tables_per_reactor() -> FdTables {
    // SAFETY: what a handler of this program opens, a file that it sends, is part of one session's
    // state, and sessions stay on their reactor's thread; nothing else is opened while a server runs
    // and then used on another thread. One server runs at a time, so no handler of a signal has a
    // descriptor that was opened later.
    unsafe { FdTables::per_reactor() }
}

/// As many as were asked for, or one for each CPU that this process may use.
fn threads(asked: Option<u32>, most: u32) -> usize {
    let cpus = || available_parallelism().map_or(1, |cpus| cpus.get()).min(most as usize);
    asked.map_or_else(cpus, |count| count as usize)
}

#[cfg(test)]
mod tests {
    use readyloop::{Balance, Limits, Server};

    use super::*;
    use crate::args::{SESSIONS_MAX, server_options};

    fn asked(options: &str) -> Result<Topology> {
        topology(&server_options(&format!("readyloop serve echo {options}")).topology)
    }

    #[test]
    fn what_goes_together_is_what_the_library_is_asked_for() {
        let multi = |accept| Topology::Multi { reactors: 3, accept };
        let cases = [
            ("", Topology::Single),
            ("--topology multi --reactors 3", multi(Accepting::Handoff(Balance::RoundRobin))),
            (
                "--topology multi --reactors 3 --accept handoff --balance source-hash --fd-tables shared",
                multi(Accepting::Handoff(Balance::SourceHash)),
            ),
            (
                "--topology multi --reactors 3 --accept reuseport",
                multi(Accepting::ReusePort(FdTables::shared())),
            ),
            (
                "--topology multi --reactors 3 --accept reuseport --fd-tables per-reactor",
                multi(Accepting::ReusePort(tables_per_reactor())),
            ),
            ("--topology workers --workers 5", Topology::workers(5)),
            (
                "--topology workers --workers 5 --reactors 2 --accept reuseport",
                Topology::Workers {
                    workers: 5,
                    reactors: 2,
                    accept: Accepting::ReusePort(FdTables::shared()),
                },
            ),
        ];
        for (options, expected) in cases {
            assert_eq!(asked(options).unwrap(), expected, "{options}");
        }
        let cpus = threads(None, REACTORS_MAX);
        assert_eq!(asked("--topology multi").unwrap(), Topology::multi(cpus));
    }

    #[test]
    fn the_library_takes_the_most_that_the_options_take_and_no_more() {
        let binds = |topology| Server::builder().topology(topology).bind::<()>().is_ok();
        let (reactors, workers) = (REACTORS_MAX as usize, WORKERS_MAX as usize);
        assert!(binds(Topology::workers(workers)) && !binds(Topology::workers(workers + 1)));
        assert!(!binds(Topology::multi(reactors + 1)));
        let limits =
            |sessions: u32| Limits { sessions_max: sessions as usize, ..Limits::default() };
        assert!(limits(SESSIONS_MAX).check().is_ok() && limits(SESSIONS_MAX + 1).check().is_err());
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_a_way_out() {
        let cases = [
            ("--reactors 2", "--topology multi"),
            ("--balance round-robin", "--topology multi"),
            ("--topology workers --accept reuseport", "--reactors 2"),
            ("--workers 2", "--topology workers"),
            ("--topology multi --workers 2", "--topology workers"),
            ("--topology multi --reactors 1 --balance source-hash", "--reactors 2"),
            ("--topology multi --reactors 1 --balance round-robin", "--reactors 2"),
            (
                "--topology multi --reactors 1 --accept reuseport --fd-tables per-reactor",
                "--reactors 2",
            ),
            ("--topology multi --fd-tables per-reactor", "--accept reuseport"),
            ("--topology multi --accept reuseport --balance source-hash", "--accept handoff"),
        ];
        for (options, way_out) in cases {
            let error = asked(options).unwrap_err();
            assert!(
                error.is_settings() && error.to_string().contains(way_out),
                "{options}: {error}"
            );
        }
    }
}
