//! A recurrence prepared for the calculation of its occurrences.

use crate::clock::{REACH, WallClock};
use crate::local::Expansion;
use crate::local::civil::{END, Second};
use crate::policy::Gap;
use crate::rule::{Rule, Until};

/// The values that are computed once from a recurrence with a start.
#[derive(Debug)]
pub(crate) struct Plan {
    expansion: Expansion,
    clock: WallClock,
    /// The last local time of the rule, by `UNTIL` or `COUNT`.
    last_local: Second,
    /// The last instant of the rule, by `UNTIL`.
    last: Second,
    /// The excluded instants, in order.
    excluded: Vec<Second>,
    /// The added instants, in order.
    added: Vec<Second>,
}

impl Plan {
    pub(crate) fn new(rule: &Rule, start: Second, clock: WallClock) -> Self {
        let expansion = Expansion::new(rule, start);
        let (last_local, last) = match (rule.until, rule.count) {
            (Some(Until::Local(local)), _) => (local, Second::MAX),
            (Some(Until::Instant(instant)), _) => (instant + REACH, instant),
            (None, Some(count)) => (last_counted(&expansion, clock, count), Second::MAX),
            (None, None) => (Second::MAX, Second::MAX),
        };
        Self {
            expansion,
            clock,
            last_local,
            last,
            excluded: Vec::new(),
            added: Vec::new(),
        }
    }

    pub(crate) fn with_dates(mut self, added: Vec<Second>, excluded: Vec<Second>) -> Self {
        (self.added, self.excluded) = (added, excluded);
        self.added.sort_unstable();
        self.excluded.sort_unstable();
        self
    }

    /// Returns the first occurrence after an instant.
    pub(crate) fn next(&self, mut after: Second) -> Option<Second> {
        after = after.max(-REACH);
        while after < END + REACH {
            let added = self
                .added
                .get(self.added.partition_point(|instant| *instant <= after))
                .copied();
            let found = self.next_by_rule(after).into_iter().chain(added).min()?;
            if self.excluded.binary_search(&found).is_err() {
                return Some(found);
            }
            after = found;
        }
        None
    }

    /// Returns the first local time of the rule, whether or not the clocks show it.
    pub(crate) fn first_local(&self) -> Option<Second> {
        self.local_at_or_after(0)
    }

    /// Returns whether an instant is an occurrence, exclusions disregarded.
    pub(crate) fn contains(&self, instant: Second) -> bool {
        self.added.binary_search(&instant).is_ok() || self.next_by_rule(instant - 1) == Some(instant)
    }

    fn next_by_rule(&self, after: Second) -> Option<Second> {
        self.clock
            .next(after, |local| self.local_at_or_after(local))
            .filter(|found| *found <= self.last)
    }

    fn local_at_or_after(&self, local: Second) -> Option<Second> {
        self.expansion
            .at_or_after(local)
            .filter(|local| *local <= self.last_local)
    }
}

/// Returns the local time at which `COUNT` is reached. Local times that the clocks skip are not counted,
/// unless they are shifted.
fn last_counted(expansion: &Expansion, clock: WallClock, count: u32) -> Second {
    let next = |time: &Second| expansion.at_or_after(time + 1);
    std::iter::successors(expansion.at_or_after(0), next)
        .filter(|local| clock.gap == Gap::Shift || !clock.skips(*local))
        .take(count as usize)
        .last()
        .unwrap_or(Second::MIN)
}
