//! How much was done in a second, and what it cost.

use std::time::{Duration, Instant};

use crate::server::{Server, Topology, own_cpu};
use crate::stats::median_of;

/// One round's figures.
pub struct Rate {
    pub per_second: f64,
    server_micros_each: f64,
    /// The share of one processor that the load used: near 1, the load is the limit.
    load_busy: f64,
}

/// Runs from the beginning of a round to its end.
pub struct Meter<'s> {
    server: &'s Server,
    begin: Instant,
    server_cpu: Duration,
    load_cpu: Duration,
}

impl Meter<'_> {
    pub fn start(server: &Server) -> Meter<'_> {
        Meter { server, begin: Instant::now(), server_cpu: server.cpu(), load_cpu: own_cpu() }
    }

    /// So much was done.
    pub fn stop(self, done: usize) -> Rate {
        let took = self.begin.elapsed().as_secs_f64();
        Rate {
            per_second: done as f64 / took,
            server_micros_each: (self.server.cpu() - self.server_cpu).as_secs_f64() * 1e6
                / done as f64,
            load_busy: (own_cpu() - self.load_cpu).as_secs_f64() / took,
        }
    }
}

/// Prints the medians of every topology, and their ratios to the first one.
pub fn print_rates(what: &str, topologies: &[Topology], measured: &[Vec<Rate>]) {
    let (rate, each) = (format!("{what}s/s"), format!("server us/{what}"));
    println!("{:<24}{rate:>12}{:>10}{each:>20}{:>12}", "", "ratio", "load busy");
    let first = median_of(&measured[0], |rate| rate.per_second);
    for (topology, measured) in topologies.iter().zip(measured) {
        let rate = median_of(measured, |rate| rate.per_second);
        let each = median_of(measured, |rate| rate.server_micros_each);
        let busy = 100.0 * median_of(measured, |rate| rate.load_busy);
        let ratio = rate / first;
        println!("{:<24}{rate:>12.0}{ratio:>10.2}{each:>20.2}{busy:>11.0}%", topology.name);
    }
}
