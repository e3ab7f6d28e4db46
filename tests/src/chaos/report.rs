//! The numbers of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::check::History;

/// The number of events of each kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    pub(crate) fn add(&mut self, event: &'static str, count: u64) {
        *self.0.entry(event).or_default() += count;
    }

    fn merge(&mut self, other: &Self) {
        for (event, count) in &other.0 {
            self.add(event, *count);
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (event, count)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{event} {count}")?;
        }
        Ok(())
    }
}

/// The result of an episode, or of a run of several.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub(crate) counts: Counts,
    /// For each task of a killed worker, the time from the kill until its handler ran again.
    pub(crate) recoveries: Vec<Duration>,
    /// The longest time that an episode needed to end all tasks after the faults.
    pub(crate) slowest_settling: Duration,
    pub(crate) episodes: u32,
    /// The broken promises.
    pub violations: Vec<String>,
}

impl Report {
    /// Returns the report of one episode. `settling` is the time from the end of the faults to the end of all tasks.
    pub(crate) fn of(history: &History, counts: &Counts, settling: Duration) -> Self {
        let mut report = Self {
            counts: counts.clone(),
            recoveries: history.recoveries(),
            slowest_settling: settling,
            episodes: 1,
            violations: history.check(),
        };
        let calls = &history.effects.calls;
        let tasks = history.known.len() + history.effects.children.len();
        let occurrences = history.records.occurrences.values().map(Vec::len).sum();
        let attempts = calls.iter().map(|call| call.tasks.len()).sum();
        let interrupted = calls.iter().filter(|call| call.is_interrupted()).count();
        for (event, count) in [
            ("tasks", tasks),
            ("occurrences", occurrences),
            ("handler calls", calls.len()),
            ("attempts", attempts),
            ("interrupted calls", interrupted),
        ] {
            report.counts.add(event, u64::try_from(count).unwrap_or(u64::MAX));
        }
        report
    }

    pub(crate) fn merge(&mut self, episode: Self) {
        self.counts.merge(&episode.counts);
        self.recoveries.extend(episode.recoveries);
        self.slowest_settling = self.slowest_settling.max(episode.slowest_settling);
        self.episodes += episode.episodes;
        self.violations.extend(episode.violations);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut recoveries = self.recoveries.clone();
        recoveries.sort_unstable();
        write!(f, "episodes {}, {}", self.episodes, self.counts)?;
        if let (Some(median), Some(slowest)) = (recoveries.get(recoveries.len() / 2), recoveries.last()) {
            write!(
                f,
                ", tasks of killed workers that ran again {}, after {median:.1?} (median) and at most {slowest:.1?}",
                recoveries.len()
            )?;
        }
        write!(
            f,
            ", settled within {:.1?}, violations {}",
            self.slowest_settling,
            self.violations.len()
        )
    }
}
