//! Time: one that is true, and what the clocks of the workers make of it.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::Clock;
use tokio::time::Instant;

/// Milliseconds since the simulation began.
pub(crate) type Millis = u64;

/// The true time: the paused clock of the simulation's runtime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    began: Instant,
}

impl Time {
    /// Begins now, inside the runtime.
    pub(crate) fn begin() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Millis {
        u64::try_from(self.began.elapsed().as_millis()).expect("no simulation lasts that long")
    }
}

/// The instant at which every simulation begins.
pub(crate) fn epoch() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_603_600, 0).expect("an instant of 2026")
}

/// An instant as the clocks show it.
pub(crate) fn instant(at: Millis) -> DateTime<Utc> {
    epoch() + TimeDelta::milliseconds(signed(at))
}

pub(crate) fn signed(at: Millis) -> i64 {
    i64::try_from(at).expect("no simulation lasts that long")
}

/// How a clock is wrong, in milliseconds; never by more than `band`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Skew {
    pub(crate) offset: i64,
    /// How much it gains, in millionths.
    pub(crate) drift: i64,
    /// When it is set, and by how much.
    pub(crate) jumps: Vec<(Millis, i64)>,
    pub(crate) band: i64,
}

impl Skew {
    pub(crate) fn at(&self, now: Millis) -> i64 {
        let drift = signed(now) * self.drift / 1_000_000;
        let jumps = self.jumps.iter().filter(|(at, _)| *at <= now);
        let jumped: i64 = jumps.map(|(_, by)| by).sum();
        (self.offset + drift + jumped).clamp(-self.band, self.band)
    }

    /// The clock that is wrong like this.
    pub(crate) fn clock(&self, time: Time) -> Clock {
        let skew = Arc::new(self.clone());
        Clock::new(move || {
            let now = time.now();
            instant(now) + TimeDelta::milliseconds(skew.at(now))
        })
    }
}
