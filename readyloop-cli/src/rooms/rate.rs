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
    /// Nanoseconds of silence that are saved up.
    saved: u64,
    since: Now,
}

const SECOND: u64 = 1_000_000_000;

impl Rate {
    /// What one line costs, in nanoseconds.
    fn line(self) -> u64 {
        SECOND / u64::from(self.per_second)
    }

    fn most(self) -> u64 {
        self.line() * u64::from(self.burst)
    }
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Rate, now: Now) -> Bucket {
        Bucket { saved: rate.most(), since: now }
    }

    /// Pays for one line; whether there was enough.
    pub fn pay(&mut self, rate: Rate, now: Now) -> bool {
        let passed = now.since(self.since).as_nanos().min(u128::from(rate.most())) as u64;
        self.since = now;
        self.saved = (self.saved + passed).min(rate.most());
        let enough = self.saved >= rate.line();
        if enough {
            self.saved -= rate.line();
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
        let paid: Vec<bool> = (0..5).map(|_| bucket.pay(RATE, at(0))).collect();
        assert_eq!(paid, [true, true, true, false, false]);
        assert!(!bucket.pay(RATE, at(99)));
        assert!(bucket.pay(RATE, at(100)) && !bucket.pay(RATE, at(199)));
        assert!(bucket.pay(RATE, at(200)), "what was refused cost nothing");
    }

    #[test]
    fn silence_saves_up_one_burst_and_no_more() {
        let mut bucket = Bucket::new(RATE, at(0));
        let hour = 3_600_000;
        let paid = (0..10).filter(|_| bucket.pay(RATE, at(hour))).count();
        assert_eq!(paid, 3);
    }
}
