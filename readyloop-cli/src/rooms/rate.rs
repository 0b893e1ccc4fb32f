//! How many lines a session may send: so many a second, and some more at once.

use readyloop::Now;

/// The rate that is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Lines a second, in the long run.
    pub per_second: u32,
    /// Lines at once, after a silence.
    pub burst: u32,
}

/// One session's share of it: a bucket that drips full, and is emptied by lines.
#[derive(Debug)]
pub struct Bucket {
    /// Nanoseconds of silence that are saved up; less than none behind a line that cost more than a
    /// burst.
    saved: i64,
    since: Now,
}

const SECOND: i64 = 1_000_000_000;

impl Rate {
    /// What one line costs, in nanoseconds.
    fn line(self) -> i64 {
        SECOND / i64::from(self.per_second)
    }

    fn most(self) -> i64 {
        self.line() * i64::from(self.burst)
    }
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Rate, now: Now) -> Bucket {
        Bucket { saved: rate.most(), since: now }
    }

    /// Pays for so many lines at once; whether there was enough. What is more than a full bucket is
    /// paid by the silence that follows.
    pub fn pay(&mut self, rate: Rate, lines: u32, now: Now) -> bool {
        let passed = i64::try_from(now.since(self.since).as_nanos()).unwrap_or(i64::MAX);
        self.since = now;
        self.saved = self.saved.saturating_add(passed).min(rate.most());
        let price = rate.line() * i64::from(lines);
        let enough = self.saved >= price.min(rate.most());
        if enough {
            self.saved -= price;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    fn at(millis: u64) -> Now {
        Now::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let mut bucket = Bucket::new(RATE, at(0));
        let paid: Vec<bool> = (0..5).map(|_| bucket.pay(RATE, 1, at(0))).collect();
        assert_eq!(paid, [true, true, true, false, false]);
        assert!(!bucket.pay(RATE, 1, at(99)));
        assert!(bucket.pay(RATE, 1, at(100)) && !bucket.pay(RATE, 1, at(199)));
        assert!(bucket.pay(RATE, 1, at(200)), "what was refused cost nothing");
    }

    #[test]
    fn what_costs_several_lines_is_paid_at_once_and_more_than_a_burst_by_silence() {
        let mut bucket = Bucket::new(RATE, at(0));
        assert!(bucket.pay(RATE, 2, at(0)) && !bucket.pay(RATE, 2, at(0)));
        assert!(bucket.pay(RATE, 1, at(0)), "what was refused cost nothing");
        // With less than a full bucket it is refused, and then it takes what five lines cost.
        assert!(!bucket.pay(RATE, 5, at(299)) && bucket.pay(RATE, 5, at(300)));
        assert!(!bucket.pay(RATE, 1, at(599)) && bucket.pay(RATE, 1, at(600)));
        let most = Rate { per_second: 1, burst: u32::MAX };
        let mut bucket = Bucket::new(most, at(0));
        assert!(bucket.pay(most, 1, at(0)) && !bucket.pay(most, u32::MAX, at(999)));
        assert!(bucket.pay(most, u32::MAX, at(1_000)) && !bucket.pay(most, 1, at(1_999)));
    }

    #[test]
    fn silence_saves_up_one_burst_and_no_more() {
        let mut bucket = Bucket::new(RATE, at(0));
        let hour = 3_600_000;
        let paid = (0..10).filter(|_| bucket.pay(RATE, 1, at(hour))).count();
        assert_eq!(paid, 3);
    }
}
