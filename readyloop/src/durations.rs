//! How long something took, many times over: counts in buckets, four for each doubling.
//!
//! It exists so that a reactor can tell a median without keeping what it has seen. A bucket is at
//! most a quarter wider than its lowest value.

use std::time::Duration;

/// Buckets: four for each power of two that fits 64 bits.
const BUCKETS: usize = 64 * 4;

/// Durations, counted. Without any, it owns no memory.
///
/// ```
/// use std::time::Duration;
///
/// let mut durations = readyloop::Durations::default();
/// (1..=100).for_each(|micros| durations.note(Duration::from_micros(micros)));
/// let median = durations.quantile(0.5);
/// assert!(Duration::from_micros(40) <= median && median <= Duration::from_micros(60));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    counts: Vec<u64>,
}

fn bucket(nanos: u64) -> usize {
    let Some(octave) = nanos.checked_ilog2() else { return 0 };
    // The two bits behind the highest one.
    let quarter = if octave >= 2 { nanos >> (octave - 2) } else { nanos << (2 - octave) } & 3;
    octave as usize * 4 + quarter as usize
}

/// The lowest nanoseconds of a bucket.
fn lowest(bucket: usize) -> u64 {
    let (octave, quarter) = (bucket / 4, bucket as u64 % 4);
    (1 << octave) + if octave >= 2 { quarter << (octave - 2) } else { quarter >> (2 - octave) }
}

impl Durations {
    /// One more.
    pub fn note(&mut self, duration: Duration) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
    }

    /// All that another one has.
    pub fn add(&mut self, other: &Durations) {
        if self.counts.is_empty() {
            self.counts.clone_from(&other.counts);
            return;
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// This share of them (0 to 1) took no longer than about this; zero if there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return Duration::from_nanos(lowest(bucket));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_has_a_bucket_that_is_a_quarter_wide() {
        for nanos in (0..10_000).chain([u64::MAX / 3, u64::MAX]) {
            let found = lowest(bucket(nanos));
            assert!(
                found <= nanos.max(1) && nanos - found.min(nanos) <= nanos / 4,
                "{nanos}: {found}"
            );
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn what_two_have_seen_is_one() {
        let (mut one, mut two) = (Durations::default(), Durations::default());
        assert_eq!((one.count(), one.quantile(0.5)), (0, Duration::ZERO));
        (0..60).for_each(|_| one.note(Duration::from_nanos(64)));
        (0..40).for_each(|_| two.note(Duration::from_nanos(4096)));
        two.add(&one);
        let mut all = Durations::default();
        all.add(&two);
        assert_eq!(all.count(), 100);
        assert_eq!(all.quantile(0.6), Duration::from_nanos(64));
        assert_eq!(all.quantile(0.61), Duration::from_nanos(4096));
    }
}
