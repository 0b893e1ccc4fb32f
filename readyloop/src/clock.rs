//! Monotonic time, as the reactor tells it to everyone below: never wall time, never read in a
//! leaf.

use std::ops::Add;
use std::time::Duration;

/// One instant of a reactor's monotonic clock, in nanoseconds since an origin of the kernel's
/// choice.
///
/// A reactor reads the clock once a turn, so `Now` stands still while handlers run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Now(u64);

impl Now {
    /// The clock's origin.
    pub const ZERO: Now = Now(0);

    /// The end of time: later than anything that happens.
    pub const NEVER: Now = Now(u64::MAX);

    /// The instant `nanos` nanoseconds after the origin; the range is 584 years.
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Now {
        Now(nanos)
    }

    /// Nanoseconds since the origin.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not later.
    #[inline]
    pub fn since(self, earlier: Now) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Now {
    type Output = Now;

    /// Saturates at the end of time, so "never" may be written as a very long duration.
    #[inline]
    fn add(self, span: Duration) -> Now {
        Now(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_longer_than_time_saturates() {
        assert_eq!(Now::from_nanos(5) + Duration::MAX, Now::NEVER);
    }

    #[test]
    fn since_a_later_instant_is_zero() {
        let early = Now::from_nanos(5);
        assert_eq!(early.since(early + Duration::from_nanos(1)), Duration::ZERO);
    }
}
