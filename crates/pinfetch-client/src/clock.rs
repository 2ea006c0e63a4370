//! The time of day, by which pin sets end.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use pinfetch_pins::Moment;

/// A clock that somebody may set, and the latest that it has said: whoever sets it loosens nothing, back or forth.
pub(crate) struct Clock {
    latest: AtomicI64,
    /// Gives Unix seconds.
    read: fn() -> i64,
}

impl Clock {
    pub(crate) fn now(&self) -> Moment {
        let present = (self.read)();
        let latest = self.latest.fetch_max(present, Ordering::AcqRel);
        Moment {
            present,
            latest: latest.max(present),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            latest: AtomicI64::new(i64::MIN),
            read: system_time,
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.latest).finish()
    }
}

fn system_time() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
impl Clock {
    pub(crate) fn by(read: fn() -> i64) -> Self {
        Self {
            read,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static HANDS: AtomicI64 = AtomicI64::new(0);

    #[test]
    fn a_clock_that_is_set_is_remembered_at_its_latest() {
        assert!(Clock::default().now().present > 1_700_000_000);
        let clock = Clock::by(|| HANDS.load(Ordering::Relaxed));
        for (present, latest) in [(100, 100), (900, 900), (101, 900), (901, 901)] {
            HANDS.store(present, Ordering::Relaxed);
            assert_eq!(clock.now(), Moment { present, latest });
        }
    }
}
