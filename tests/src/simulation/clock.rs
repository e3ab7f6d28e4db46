//! The true time of a simulation, and the skewed clocks of its nodes.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::Clock;
use tokio::time::Instant;

/// Milliseconds since the simulation began.
pub(crate) type Millis = u64;

/// The true time: the paused clock of the simulation's runtime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrueTime {
    began: Instant,
}

impl TrueTime {
    /// Starts the time at 0. Must be called inside the simulation's runtime.
    pub(crate) fn start() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Millis {
        u64::try_from(self.began.elapsed().as_millis()).expect("a simulation is short")
    }
}

/// Returns the instant at which every simulation begins.
pub(crate) fn epoch() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_603_600, 0).expect("an instant of 2026")
}

/// Converts the true time to an instant.
pub(crate) fn instant(at: Millis) -> DateTime<Utc> {
    epoch() + TimeDelta::milliseconds(signed(at))
}

pub(crate) fn signed(at: Millis) -> i64 {
    i64::try_from(at).expect("a simulation is short")
}

/// The error of a clock in milliseconds. It never exceeds `band`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Skew {
    /// The error at the beginning.
    pub(crate) offset: i64,
    /// The gain in parts per million.
    pub(crate) drift: i64,
    /// The times at which the clock is set, and the change of each in milliseconds.
    pub(crate) jumps: Vec<(Millis, i64)>,
    /// The largest error in either direction.
    pub(crate) band: i64,
}

impl Skew {
    /// Returns the error at this time.
    pub(crate) fn at(&self, now: Millis) -> i64 {
        let drift = signed(now) * self.drift / 1_000_000;
        let jumps = self.jumps.iter().filter(|(at, _)| *at <= now);
        let jumped: i64 = jumps.map(|(_, by)| by).sum();
        (self.offset + drift + jumped).clamp(-self.band, self.band)
    }

    /// Returns a clock with this error.
    pub(crate) fn clock(&self, time: TrueTime) -> Clock {
        let skew = Arc::new(self.clone());
        Clock::new(move || {
            let now = time.now();
            instant(now) + TimeDelta::milliseconds(skew.at(now))
        })
    }
}
