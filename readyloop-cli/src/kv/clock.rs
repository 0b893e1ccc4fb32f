//! Deadlines that clients give in milliseconds, on the clock that the wheel knows.
//!
//! A moment since 1970 is turned into one of the monotonic clock when it is given: who sets the
//! machine's clock afterwards moves no deadline.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use readyloop::Now;

/// So many milliseconds from now, which may lie in the past. A deadline that our clock cannot spell,
/// 584 years away, is its last moment; `None` for one that Redis' cannot either.
pub fn after(millis: i64, now: Now) -> Option<Now> {
    (unix_now().as_millis() as i64).checked_add(millis)?;
    // Whole milliseconds, as clients count: never too early, and what is over, is over.
    let (begun, ends) = (now.as_nanos() / 1_000_000, now.as_nanos().div_ceil(1_000_000));
    let base = if millis > 0 { ends } else { begun };
    let nanos = (i128::from(base) + i128::from(millis)) * 1_000_000;
    Some(Now::from_nanos(nanos.clamp(0, u64::MAX.into()) as u64))
}

/// The moment so many milliseconds after 1970 began.
pub fn at_unix(millis: i64, now: Now) -> Option<Now> {
    after(millis.saturating_sub(unix_now().as_millis() as i64), now)
}

/// How many milliseconds are left, rounded up.
pub fn left(due: Now, now: Now) -> i64 {
    due.since(now).as_nanos().div_ceil(1_000_000) as i64
}

/// How long ago 1970 began, by the machine's clock.
pub fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_an_end_and_a_beginning() {
        let now = Now::from_nanos(5_000_000);
        assert_eq!(after(3, now), Some(Now::from_nanos(8_000_000)));
        assert_eq!(after(3, Now::from_nanos(4_000_001)), Some(Now::from_nanos(8_000_000)));
        assert!(after(0, Now::from_nanos(4_000_001)) <= Some(Now::from_nanos(4_000_001)));
        assert_eq!(after(-9, now), Some(Now::from_nanos(0)));
        assert_eq!(after(i64::MAX, now), None);
        assert_eq!(at_unix(1, now), Some(Now::from_nanos(0)));
        assert_eq!(at_unix(i64::MIN, now), Some(Now::from_nanos(0)));
        assert_eq!(at_unix(i64::MAX, now), Some(Now::from_nanos(u64::MAX)));
    }

    #[test]
    fn what_is_left_is_rounded_up() {
        let now = Now::from_nanos(5_000_000);
        for (nanos, millis) in [(5_000_000, 0), (4_000_000, 0), (5_000_001, 1), (7_000_000, 2)] {
            assert_eq!(left(Now::from_nanos(nanos), now), millis);
        }
    }
}
