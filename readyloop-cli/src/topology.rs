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
    let all = [
        ("--reactors", options.reactors.is_some(), TopologyName::Multi),
        ("--workers", options.workers.is_some(), TopologyName::Workers),
        ("--accept", options.accept.is_some(), TopologyName::Multi),
        ("--balance", options.balance.is_some(), TopologyName::Multi),
        ("--fd-tables", options.fd_tables.is_some(), TopologyName::Multi),
    ];
    for (option, given, needs) in all {
        if given && options.topology != needs {
            let topology = options.topology;
            return Err(Error::settings(format!(
                "{option} means nothing to --topology {topology}; leave it out, or use --topology {needs}"
            )));
        }
    }
    match options.topology {
        TopologyName::Single => Ok(Topology::Single),
        TopologyName::Multi => {
            let reactors = options.reactors.map_or_else(cpus, |count| count as usize);
            Ok(Topology::Multi { reactors, accept: accepting(options)? })
        }
        TopologyName::Workers => {
            Ok(Topology::workers(options.workers.map_or_else(cpus, |count| count as usize)))
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

/// One thread for each CPU that this process may use.
fn cpus() -> usize {
    available_parallelism().map_or(1, |cpus| cpus.get())
}

#[cfg(test)]
mod tests {
    use readyloop::Balance;

    use super::*;
    use crate::args::server_options;

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
        ];
        for (options, expected) in cases {
            assert_eq!(asked(options).unwrap(), expected, "{options}");
        }
        assert_eq!(asked("--topology multi").unwrap(), Topology::multi(cpus()));
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_a_way_out() {
        let cases = [
            ("--reactors 2", "--topology multi"),
            ("--balance round-robin", "--topology multi"),
            ("--topology workers --reactors 2", "--topology multi"),
            ("--topology multi --workers 2", "--topology workers"),
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
