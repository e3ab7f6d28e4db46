//! The smallest plan that breaks the same invariant, as far as leaving parts out finds it.

use super::broken::Broken;
use super::invariants::{Violation, check};
use super::plan::Plan;
use super::world::{Played, play};

/// How many plans are tried.
const TRIES: usize = 2_000;
/// With how many sorts of luck each.
const LUCK: u64 = 6;

/// Leaves out what the violation does not need. Returns what is left, and its history.
pub(crate) fn shrink(plan: Plan, broken: Option<Broken>, violation: Violation) -> (Plan, Played, Violation) {
    let mut search = Search {
        invariant: violation.invariant,
        broken,
        tries: 0,
        best: None,
    };
    let mut plan = plan;
    loop {
        let before = search.tries;
        let smaller = search.round(plan.clone());
        match smaller {
            Some(smaller) if before < TRIES => plan = smaller,
            _ => break,
        }
    }
    let (played, violation) = search.best.unwrap_or_else(|| (play(&plan, broken), violation));
    (plan, played, violation)
}

struct Search {
    invariant: &'static str,
    broken: Option<Broken>,
    tries: usize,
    best: Option<(Played, Violation)>,
}

impl Search {
    /// Whether a smaller plan still breaks the invariant, with some luck, which is kept in it.
    fn breaks(&mut self, plan: &mut Plan) -> bool {
        (0..LUCK).any(|luck| {
            plan.luck = luck;
            self.breaks_now(plan)
        })
    }

    fn breaks_now(&mut self, plan: &Plan) -> bool {
        if self.tries >= TRIES {
            return false;
        }
        self.tries += 1;
        let played = play(plan, self.broken);
        let found = check(&played.history, plan)
            .into_iter()
            .find(|found| found.invariant == self.invariant);
        let breaks = found.is_some();
        if let Some(violation) = found {
            self.best = Some((played, violation));
        }
        breaks
    }

    /// Tries to leave out each part once. Returns the smaller plan, if there is one.
    fn round(&mut self, mut plan: Plan) -> Option<Plan> {
        let mut smaller = self.without_some(&mut plan, |plan| &mut plan.tasks);
        smaller |= self.without_some(&mut plan, |plan| &mut plan.orders);
        smaller |= self.without_some(&mut plan, |plan| &mut plan.troubles);
        smaller |= self.with_fewer_workers(&mut plan);
        smaller |= self.simpler(&mut plan);
        smaller.then_some(plan)
    }

    /// Halves first, then quarters, down to single ones.
    fn without_some<T: Clone>(&mut self, plan: &mut Plan, part: fn(&mut Plan) -> &mut Vec<T>) -> bool {
        let (mut smaller, mut size) = (false, part(plan).len().div_ceil(2));
        while size > 0 {
            let mut from = 0;
            while from < part(plan).len() {
                let mut candidate = plan.clone();
                let parts = part(&mut candidate);
                parts.drain(from..(from + size).min(parts.len()));
                if self.breaks(&mut candidate) {
                    (*plan, smaller) = (candidate, true);
                } else {
                    from += size;
                }
            }
            size /= 2;
        }
        smaller
    }

    fn with_fewer_workers(&mut self, plan: &mut Plan) -> bool {
        let mut smaller = false;
        while plan.workers.len() > 1 {
            let mut candidate = plan.clone();
            candidate.workers.pop();
            candidate
                .troubles
                .retain(|trouble| trouble.worker < candidate.workers.len());
            if !self.breaks(&mut candidate) {
                break;
            }
            (*plan, smaller) = (candidate, true);
        }
        smaller
    }

    /// One sort of bad luck after the other is switched off.
    fn simpler(&mut self, plan: &mut Plan) -> bool {
        let switches: [fn(&mut Plan) -> &mut u32; 7] = [
            |plan| &mut plan.network.slow,
            |plan| &mut plan.network.lose_request,
            |plan| &mut plan.network.lose_reply,
            |plan| &mut plan.network.repeat,
            |plan| &mut plan.network.fail_before,
            |plan| &mut plan.network.fail_after,
            |plan| &mut plan.network.lose_ring,
        ];
        let mut smaller = false;
        for switch in switches {
            let mut candidate = plan.clone();
            if std::mem::take(switch(&mut candidate)) > 0 && self.breaks(&mut candidate) {
                (*plan, smaller) = (candidate, true);
            }
        }
        for worker in 0..plan.workers.len() {
            let mut candidate = plan.clone();
            let skew = std::mem::take(&mut candidate.workers[worker].skew);
            let is_wrong = skew.offset != 0 || skew.drift != 0 || !skew.jumps.is_empty();
            if is_wrong && self.breaks(&mut candidate) {
                (*plan, smaller) = (candidate, true);
            }
        }
        smaller
    }
}
