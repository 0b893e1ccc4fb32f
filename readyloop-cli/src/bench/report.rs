//! What was measured: as a table, as JSON.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::firehose::Firehoses;
use super::load::Pending;
use super::process::Usage;

/// The percentiles that are told.
const PERCENTILES: [(&str, f64); 4] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

/// A run, whole.
pub struct Report {
    /// What was asked, of whom.
    pub what: String,
    pub sessions: usize,
    pub idle: usize,
    /// What the firehoses did, if there were some.
    pub firehoses: Option<Poured>,
    pub pipeline: usize,
    /// Requests for each second that were due, in an open loop.
    pub rate: Option<u32>,
    pub threads: usize,
    pub measured: Duration,
    /// Those that were right, and those that were not.
    pub answers: u64,
    pub wrong: u64,
    /// Sessions that asked, and sessions that did not.
    pub lost: u64,
    pub idle_lost: u64,
    /// Requests without an answer.
    pub pending: Pending,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Of the right answers, in nanoseconds.
    pub latencies: Histogram<u64>,
    /// For how long the oldest request without an answer had waited at the end.
    pub unanswered_for: Duration,
    /// Of the server, before and after, if it was named.
    pub server: Option<(u32, Usage, Usage)>,
    /// Why it ended early, if it did.
    pub cut_short: Option<String>,
}

/// What firehoses sent, and what came back.
pub struct Poured {
    pub sessions: usize,
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

impl Poured {
    /// `None` if there were none.
    pub fn by(firehoses: &Firehoses) -> Option<Poured> {
        (firehoses.sessions > 0).then(|| Poured {
            sessions: firehoses.sessions,
            sent_bytes: firehoses.sent_bytes.load(Ordering::Relaxed),
            received_bytes: firehoses.received_bytes.load(Ordering::Relaxed),
        })
    }
}

impl Report {
    /// Answers for each second.
    pub fn throughput(&self) -> f64 {
        self.answers as f64 / self.measured.as_secs_f64()
    }

    /// So many of a hundred answers took no longer, in nanoseconds; of none, that is unknown.
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        let known = !self.latencies.is_empty();
        known.then(|| self.latencies.value_at_quantile(percent / 100.0))
    }

    /// User and system microseconds of the server for each answer.
    pub fn server_cost(&self) -> Option<(f64, f64)> {
        let (_, before, after) = self.server.as_ref()?;
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / self.answers.max(1) as f64;
        Some((each(after.user - before.user), each(after.system - before.system)))
    }

    /// Requests that were asked and never answered.
    pub fn unanswered(&self) -> u64 {
        self.pending.in_flight + self.pending.lost
    }

    /// The longest that a request has waited for its answer, in nanoseconds; also one that never came.
    pub fn longest(&self) -> Option<u64> {
        let unanswered_for = u64::try_from(self.unanswered_for.as_nanos()).unwrap_or(u64::MAX);
        Some(self.latencies.max().max(unanswered_for)).filter(|longest| *longest > 0)
    }

    /// Whether the longest wait was in vain.
    fn is_longest_unanswered(&self) -> bool {
        self.longest() > Some(self.latencies.max())
    }

    /// Why the figures are not what was asked for, if they are not.
    pub fn fault(&self) -> Option<String> {
        let Report { answers, wrong, sessions, idle, lost, idle_lost, .. } = *self;
        if let Some(why) = &self.cut_short {
            return Some(why.clone());
        }
        let faults = [
            (answers == 0 && wrong == 0, "no answer came".to_string()),
            (answers == 0, format!("all {} answers were wrong", grouped(wrong))),
            (
                wrong > 0,
                format!("{} of {} answers were wrong", grouped(wrong), grouped(answers + wrong)),
            ),
            (
                self.unanswered() > 0,
                format!("{} requests were not answered", grouped(self.unanswered())),
            ),
            (
                lost > 0,
                format!("{} of {} sessions were lost", grouped(lost), grouped(sessions as u64)),
            ),
            (
                idle > 0 && idle_lost >= idle as u64,
                format!("all {} idle sessions were lost", grouped(idle_lost)),
            ),
        ];
        faults.into_iter().find(|(is_so, _)| *is_so).map(|(_, words)| words)
    }

    /// For programs; times in microseconds.
    pub fn json(&self) -> Value {
        let micros = |nanos: Option<u64>| nanos.map(|nanos| nanos as f64 / 1e3);
        let latencies: serde_json::Map<String, Value> = PERCENTILES
            .iter()
            .map(|(name, percent)| (name.to_string(), json!(micros(self.percentile(*percent)))))
            .chain([
                ("max".to_string(), json!(micros(self.longest()))),
                ("max_is_unanswered".to_string(), json!(self.is_longest_unanswered())),
            ])
            .collect();
        let server = self.server.as_ref().zip(self.server_cost());
        let server = server.map(|((pid, _, after), (user, system))| {
            json!({
                "pid": pid, "user_us_per_answer": user, "system_us_per_answer": system,
                "memory_bytes": after.memory_bytes,
            })
        });
        let seconds = self.measured.as_secs_f64();
        let firehoses = self.firehoses.as_ref().map(|poured| {
            json!({
                "sessions": poured.sessions,
                "sent_bytes_per_second": poured.sent_bytes as f64 / seconds,
                "received_bytes_per_second": poured.received_bytes as f64 / seconds,
            })
        });
        json!({
            "what": self.what, "sessions": self.sessions, "idle": self.idle,
            "firehoses": firehoses,
            "pipeline": self.pipeline, "rate": self.rate, "threads": self.threads,
            "seconds": seconds, "answers": self.answers,
            "answers_per_second": self.throughput(), "wrong": self.wrong, "lost": self.lost,
            "idle_lost": self.idle_lost, "unanswered": self.unanswered(),
            "unsent": self.pending.unsent,
            "sent_bytes": self.sent_bytes, "received_bytes": self.received_bytes,
            "latency_us": latencies, "server": server, "cut_short": self.cut_short,
        })
    }
}

/// What may be unknown, for people.
fn known(nanos: Option<u64>) -> String {
    nanos.map_or("-".to_string(), spelled)
}

/// Nanoseconds, as people read them: three digits and a unit.
pub fn spelled(nanos: u64) -> String {
    if nanos == 0 {
        return "0".to_string();
    }
    let units = [("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1.0)];
    let value = nanos as f64;
    let (unit, factor) = units.into_iter().find(|(_, each)| value >= *each).unwrap_or(("ns", 1.0));
    let value = value / factor;
    let digits = if value >= 100.0 { 0 } else { 1 + usize::from(value < 10.0) };
    format!("{value:.digits$} {unit}")
}

/// A whole number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| str::from_utf8(part).ok()).collect();
    groups.join(",")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { what, sessions, idle, pipeline, threads, .. } = self;
        let seconds = self.measured.as_secs_f64();
        writeln!(
            f,
            "{what}: {sessions} sessions and {idle} idle ones, {pipeline} in flight on each, {threads} threads, {seconds:.1} s"
        )?;
        let rate =
            self.rate.map_or(String::new(), |rate| format!(" of {} due", grouped(rate.into())));
        let throughput = grouped(self.throughput() as u64);
        writeln!(f, "answers    {:>14}   {throughput}/s{rate}", grouped(self.answers))?;
        let bytes = |count: u64| format!("{:.1} MB", count as f64 / 1e6);
        writeln!(
            f,
            "bytes      {:>14} out, {} in",
            bytes(self.sent_bytes),
            bytes(self.received_bytes)
        )?;
        write!(f, "latency   ")?;
        for (name, percent) in PERCENTILES {
            write!(f, " {name} {},", known(self.percentile(percent)))?;
        }
        let unanswered = if self.is_longest_unanswered() { " and more (not answered)" } else { "" };
        writeln!(f, " max {}{unanswered}", known(self.longest()))?;
        writeln!(
            f,
            "errors     {:>14} wrong answers, {} sessions lost, {} idle ones lost",
            grouped(self.wrong),
            grouped(self.lost),
            grouped(self.idle_lost)
        )?;
        writeln!(
            f,
            "unanswered {:>14} requests, and {} that were due and not sent",
            grouped(self.unanswered()),
            grouped(self.pending.unsent)
        )?;
        if let Some(Poured { sessions, sent_bytes, received_bytes }) = self.firehoses {
            let rate = |count: u64| format!("{:.1} MB/s", count as f64 / 1e6 / seconds);
            let (sent, received) = (rate(sent_bytes), rate(received_bytes));
            writeln!(f, "firehoses  {sessions:>14}   {sent} out, {received} in on all of them")?;
        }
        if let (Some((pid, before, after)), Some((user, system))) =
            (&self.server, self.server_cost())
        {
            let spent = (after.user + after.system).saturating_sub(before.user + before.system);
            let share = spent.as_secs_f64() / seconds;
            let memory = bytes(after.memory_bytes);
            writeln!(
                f,
                "server     process {pid}: {share:.2} CPUs, {user:.2} us user and {system:.2} us kernel an answer, {memory}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub use tests::report;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::histogram;

    /// Some answers, the n-th after n milliseconds.
    pub fn report() -> Report {
        let mut latencies = histogram();
        (1..=1000).for_each(|millis| latencies.record(millis * 1_000_000).unwrap());
        let usage = |millis| Usage {
            user: Duration::from_millis(millis),
            system: Duration::from_millis(3 * millis),
            memory_bytes: 5_000_000,
        };
        Report {
            what: "echo".to_string(),
            sessions: 10,
            idle: 5,
            firehoses: Some(Poured {
                sessions: 3,
                sent_bytes: 30_000_000,
                received_bytes: 20_000_000,
            }),
            pipeline: 2,
            rate: Some(600),
            threads: 1,
            measured: Duration::from_secs(2),
            answers: 1000,
            wrong: 0,
            lost: 1,
            idle_lost: 2,
            pending: Pending { in_flight: 3, lost: 4, unsent: 5 },
            sent_bytes: 64_000,
            received_bytes: 64_000,
            latencies,
            unanswered_for: Duration::from_secs(3),
            server: Some((7, usage(100), usage(600))),
            cut_short: None,
        }
    }

    #[test]
    fn the_table_says_all_of_it() {
        let table = report().to_string();
        for words in [
            "10 sessions and 5 idle ones, 2 in flight on each",
            "500/s of 600 due",
            "p50 500 ms, p90 900 ms, p99 990 ms, p99.9 1.00 s, max 3.00 s and more (not answered)",
            "1 sessions lost, 2 idle ones lost",
            "7 requests, and 5 that were due and not sent",
            "firehoses               3   15.0 MB/s out, 10.0 MB/s in on all of them",
            "process 7: 1.00 CPUs, 500.00 us user and 1500.00 us kernel an answer, 5.0 MB",
        ] {
            assert!(table.contains(words), "'{words}' is not in:\n{table}");
        }
    }

    #[test]
    fn programs_are_told_the_same() {
        let json = report().json();
        assert_eq!(json["answers_per_second"], 500.0);
        assert_eq!(json["latency_us"]["max"], 3e6);
        assert_eq!(json["latency_us"]["max_is_unanswered"], true);
        assert_eq!(json["firehoses"]["received_bytes_per_second"], 10e6);
        assert_eq!(json["server"]["memory_bytes"], 5_000_000);
        assert_eq!((&json["unanswered"], &json["unsent"]), (&7.into(), &5.into()));
        assert_eq!(report().fault().as_deref(), Some("7 requests were not answered"));
        let median = json["latency_us"]["p50"].as_f64().unwrap();
        assert!((499_000.0..501_000.0).contains(&median), "{median}");
    }

    #[test]
    fn without_its_idle_sessions_a_run_is_not_what_was_asked_for() {
        let answered = Report { pending: Pending::default(), lost: 0, ..report() };
        assert_eq!(answered.fault(), None, "some are left");
        let alone = Report { idle_lost: 5, ..answered };
        assert_eq!(alone.fault().as_deref(), Some("all 5 idle sessions were lost"));
    }

    #[test]
    fn what_is_wrong_or_lost_is_a_fault_and_what_is_unknown_is_not_told_as_zero() {
        let answered = || Report { pending: Pending::default(), lost: 0, ..report() };
        let fault = |report: Report| report.fault().unwrap();
        let some = fault(Report { wrong: 500, ..answered() });
        assert_eq!(some, "500 of 1,500 answers were wrong");
        assert_eq!(fault(Report { lost: 1, ..answered() }), "1 of 10 sessions were lost");
        let none = || Report { answers: 0, latencies: histogram(), ..answered() };
        assert_eq!(fault(none()), "no answer came");
        let wrong = Report { wrong: 2_000, unanswered_for: Duration::ZERO, ..none() };
        assert_eq!(fault(Report { wrong: 2_000, ..none() }), "all 2,000 answers were wrong");
        assert!(wrong.to_string().contains("p50 -, p90 -, p99 -, p99.9 -, max -\n"), "{wrong}");
        assert_eq!(wrong.json()["latency_us"]["p50"], Value::Null);
        assert_eq!(wrong.json()["latency_us"]["max"], Value::Null);
    }

    #[test]
    fn times_have_three_digits_and_numbers_have_commas() {
        let spelled: Vec<String> = [0, 999, 1_234, 56_789, 999_000_000].map(spelled).into();
        assert_eq!(spelled, ["0", "999 ns", "1.23 us", "56.8 us", "999 ms"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
