//! A recurrence made ready: its instants, one after the other.

use crate::clock::{Clock, REACH};
use crate::local::Expansion;
use crate::local::civil::{END, Second};
use crate::policy::Gap;
use crate::rule::{Rule, Until};

/// Everything that follows from a recurrence once its start is known.
#[derive(Debug)]
pub(crate) struct Plan {
    expansion: Expansion,
    clock: Clock,
    last_local: Second,
    last: Second,
    /// Instants that are left out, in order.
    without: Vec<Second>,
    /// Instants that are added, in order.
    with: Vec<Second>,
}

impl Plan {
    pub(crate) fn new(rule: &Rule, start: Second, clock: Clock) -> Self {
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
            without: Vec::new(),
            with: Vec::new(),
        }
    }

    pub(crate) fn with_dates(mut self, with: Vec<Second>, without: Vec<Second>) -> Self {
        (self.with, self.without) = (with, without);
        self.with.sort_unstable();
        self.without.sort_unstable();
        self
    }

    /// The first occurrence after this instant.
    pub(crate) fn next(&self, mut after: Second) -> Option<Second> {
        after = after.max(-REACH);
        while after < END + REACH {
            let added = self
                .with
                .get(self.with.partition_point(|instant| *instant <= after))
                .copied();
            let found = self.next_by_rule(after).into_iter().chain(added).min()?;
            if self.without.binary_search(&found).is_err() {
                return Some(found);
            }
            after = found;
        }
        None
    }

    /// The first local time that the rule names, whether or not the clocks show it.
    pub(crate) fn first_local(&self) -> Option<Second> {
        self.local(0)
    }

    /// Whether this instant occurs if nothing is left out.
    pub(crate) fn has(&self, instant: Second) -> bool {
        self.with.binary_search(&instant).is_ok() || self.next_by_rule(instant - 1) == Some(instant)
    }

    fn next_by_rule(&self, after: Second) -> Option<Second> {
        self.clock
            .next(after, |least| self.local(least))
            .filter(|found| *found <= self.last)
    }

    fn local(&self, least: Second) -> Option<Second> {
        self.expansion
            .at_or_after(least)
            .filter(|local| *local <= self.last_local)
    }
}

/// The local time that `COUNT` makes the last; those that the clocks skip are not counted if nothing becomes
/// of them.
fn last_counted(expansion: &Expansion, clock: Clock, count: u32) -> Second {
    let following = |time: &Second| expansion.at_or_after(time + 1);
    std::iter::successors(expansion.at_or_after(0), following)
        .filter(|local| clock.gap == Gap::Shift || !clock.skips(*local))
        .take(count as usize)
        .last()
        .unwrap_or(Second::MIN)
}
