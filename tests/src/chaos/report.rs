//! Figures of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::check::History;

/// How often each thing happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    pub(crate) fn add(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    fn merge(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.add(what, *times);
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (what, times)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{what} {times}")?;
        }
        Ok(())
    }
}

/// What an episode, or a run of several, came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub(crate) counts: Counts,
    /// How long it took from the end of a worker that was killed until the handler of its task ran again.
    pub(crate) recoveries: Vec<Duration>,
    /// How long the slowest episode took to end all tasks when everything was mended.
    pub(crate) slowest_settling: Duration,
    pub(crate) episodes: u32,
    /// What was promised and not kept.
    pub violations: Vec<String>,
}

impl Report {
    /// What an episode came to that took so long to settle.
    pub(crate) fn of(history: &History, counts: &Counts, settling: Duration) -> Self {
        let mut report = Self {
            counts: counts.clone(),
            recoveries: history.recoveries(),
            slowest_settling: settling,
            episodes: 1,
            violations: history.check(),
        };
        let calls = &history.effects.calls;
        let counted = |what, number: usize| (what, u64::try_from(number).unwrap_or(u64::MAX));
        let tasks = history.known.len() + history.effects.children.len();
        let occurrences = history.records.occurrences.values().map(Vec::len).sum();
        let attempts: usize = calls.iter().map(|call| call.tasks.len()).sum();
        for (what, number) in [
            counted("tasks", tasks),
            counted("occurrences", occurrences),
            counted("handler calls", calls.len()),
            counted("attempts", attempts),
            counted(
                "calls cut off",
                calls.iter().filter(|call| call.is_cut_off()).count(),
            ),
        ] {
            report.counts.add(what, number);
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
        if let (Some(middle), Some(slowest)) = (recoveries.get(recoveries.len() / 2), recoveries.last()) {
            write!(
                f,
                ", tasks of a killed worker that ran again {}, after {middle:.1?} in the middle and {slowest:.1?} at most",
                recoveries.len()
            )?;
        }
        write!(
            f,
            ", settled in {:.1?} at most, violations {}",
            self.slowest_settling,
            self.violations.len()
        )
    }
}
