//! The time of day, by which pin sets end.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The time of day, which never goes back: a set that was seen to have ended stays so, whatever somebody does to the clock.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicI64);

impl Clock {
    /// Unix seconds.
    pub(crate) fn now(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        self.at_least(now)
    }

    fn at_least(&self, now: i64) -> i64 {
        self.0.fetch_max(now, Ordering::AcqRel).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_is_not_believed() {
        let clock = Clock::default();
        let now = clock.now();
        assert!(now > 1_700_000_000);
        assert_eq!(clock.at_least(now + 100), now + 100);
        assert_eq!(clock.at_least(now), now + 100);
        assert!(clock.now() >= now + 100);
    }
}
