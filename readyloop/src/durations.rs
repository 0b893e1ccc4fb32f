//! How long something took, many times over: counts in buckets, four for each doubling.
//!
//! It exists so that a reactor can tell a median without keeping what it has seen. A bucket's highest
//! value is at most a quarter over its lowest one.

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
    /// The longest one, in nanoseconds.
    max: u64,
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

/// The highest nanoseconds of a bucket.
fn highest(bucket: usize) -> u64 {
    let octave = bucket / 4;
    lowest(bucket) + if octave >= 2 { (1 << (octave - 2)) - 1 } else { 0 }
}

impl Durations {
    /// One more.
    pub fn note(&mut self, duration: Duration) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.max = self.max.max(nanos);
    }

    /// All that another one has.
    pub fn add(&mut self, other: &Durations) {
        self.max = self.max.max(other.max);
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

    /// This share of them (0 to 1) took no longer than this; zero if there are none. It is the
    /// highest value of a bucket, so at most a quarter longer than it would have to be, and never
    /// longer than the longest of them.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return Duration::from_nanos(highest(bucket).min(self.max));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_duration_has_a_bucket_that_is_a_quarter_wide() {
        for nanos in (0..10_000).chain([u64::MAX / 3, u64::MAX]) {
            let bucket = bucket(nanos);
            assert!(lowest(bucket) <= nanos.max(1) && nanos <= highest(bucket), "{nanos}");
            assert!(highest(bucket) - lowest(bucket) <= lowest(bucket) / 4, "{nanos}");
        }
        assert_eq!((bucket(u64::MAX), highest(BUCKETS - 1)), (BUCKETS - 1, u64::MAX));
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
        assert_eq!(all.quantile(0.6), Duration::from_nanos(79));
        assert_eq!(all.quantile(0.61), Duration::from_nanos(4096), "never over the longest");
    }

    proptest! {
        #[test]
        fn a_quantile_is_never_too_low_and_at_most_a_quarter_too_high(
            mut nanos in prop::collection::vec(prop_oneof![0..100u64, any::<u64>()], 1..100),
            share in 0.0..=1.0f64,
        ) {
            let mut durations = Durations::default();
            nanos.iter().for_each(|nanos| durations.note(Duration::from_nanos(*nanos)));
            nanos.sort_unstable();
            let nth = ((nanos.len() as f64 * share).ceil() as usize).max(1) - 1;
            let (exact, told) = (nanos[nth], durations.quantile(share).as_nanos() as u64);
            // Zero shares a bucket with one nanosecond.
            prop_assert!(exact <= told && told - exact <= (exact / 4).max(u64::from(exact == 0)));
            prop_assert!(told <= nanos[nanos.len() - 1]);
        }
    }
}
