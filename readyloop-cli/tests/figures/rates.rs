//! How much was done in a second, and what it cost.

use std::time::{Duration, Instant};

use crate::server::{Server, own_cpu};
use crate::stats::median_of;
use crate::told::tell;

/// One round's figures.
#[derive(Clone, Copy)]
pub struct Rate {
    per_second: f64,
    server_micros_each: f64,
    /// The share of one processor that the load used: near 1, the load is the limit.
    load_busy: f64,
}

/// Runs from the beginning of a round to its end.
pub struct Meter {
    begin: Instant,
    server_cpu: Duration,
    load_cpu: Duration,
}

impl Meter {
    pub fn start(server: &Server) -> Meter {
        Meter { begin: Instant::now(), server_cpu: server.cpu(), load_cpu: own_cpu() }
    }

    /// The same server has done so much.
    pub fn stop(self, server: &Server, done: usize) -> Rate {
        let took = self.begin.elapsed().as_secs_f64();
        Rate {
            per_second: done as f64 / took,
            server_micros_each: (server.cpu() - self.server_cpu).as_secs_f64() * 1e6 / done as f64,
            load_busy: (own_cpu() - self.load_cpu).as_secs_f64() / took,
        }
    }
}

/// Prints the medians of everything compared, with their ratios to the first, and tells them as this
/// figure; `singular` and `plural` are what was done.
pub fn print_rates(
    figure: &str,
    (singular, plural): (&str, &str),
    names: &[&str],
    measured: &[Vec<Rate>],
) {
    let (rate, each) = (format!("{plural}/s"), format!("server us/{singular}"));
    println!("{:<24}{rate:>14}{:>10}{each:>20}{:>12}", "", "ratio", "load busy");
    let first = median_of(&measured[0], |rate| rate.per_second);
    for (name, measured) in names.iter().zip(measured) {
        let rate = median_of(measured, |rate| rate.per_second);
        let each = median_of(measured, |rate| rate.server_micros_each);
        let busy = 100.0 * median_of(measured, |rate| rate.load_busy);
        println!("{name:<24}{rate:>14.0}{:>10.2}{each:>20.2}{busy:>11.0}%", rate / first);
        let values = [("per_second", rate), ("over_first", rate / first), ("server_us_each", each)];
        tell(figure, name, &values);
    }
}
