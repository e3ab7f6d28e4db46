//! Shrinking: removes parts of a plan as long as the rest violates the same invariant.

use super::broken::Broken;
use super::invariants::{Violation, check};
use super::plan::Plan;
use super::run::{Execution, execute};

/// The maximum number of executions.
const MAX_EXECUTIONS: usize = 2_000;
/// The number of message deliveries that are tried for each plan.
const DELIVERIES: u64 = 6;

/// Removes the parts of the plan that the violation does not need. Returns the rest and its execution.
pub(crate) fn shrink(
    plan: Plan,
    broken: Option<Broken>,
    violation: Violation,
) -> (Plan, Execution, Violation) {
    let mut search = Search {
        invariant: violation.invariant,
        broken,
        executions: 0,
        best: None,
    };
    let mut plan = plan;
    loop {
        let before = search.executions;
        let smaller = search.round(plan.clone());
        match smaller {
            Some(smaller) if before < MAX_EXECUTIONS => plan = smaller,
            _ => break,
        }
    }
    let (execution, violation) = search.best.unwrap_or_else(|| (execute(&plan, broken), violation));
    (plan, execution, violation)
}

struct Search {
    invariant: &'static str,
    broken: Option<Broken>,
    executions: usize,
    /// The execution of the smallest plan so far.
    best: Option<(Execution, Violation)>,
}

impl Search {
    /// Returns whether the plan violates the invariant with one of several deliveries. Leaves that delivery in the
    /// plan.
    fn violates(&mut self, plan: &mut Plan) -> bool {
        (0..DELIVERIES).any(|delivery| {
            plan.delivery = delivery;
            self.violates_with_this_delivery(plan)
        })
    }

    fn violates_with_this_delivery(&mut self, plan: &Plan) -> bool {
        if self.executions >= MAX_EXECUTIONS {
            return false;
        }
        self.executions += 1;
        let execution = execute(plan, self.broken);
        let found = check(&execution.history, plan)
            .into_iter()
            .find(|found| found.invariant == self.invariant);
        let violates = found.is_some();
        if let Some(violation) = found {
            self.best = Some((execution, violation));
        }
        violates
    }

    /// Tries to remove each part once. Returns the smaller plan, if there is one.
    fn round(&mut self, mut plan: Plan) -> Option<Plan> {
        let mut smaller = self.remove_some(&mut plan, |plan| &mut plan.tasks);
        smaller |= self.remove_some(&mut plan, |plan| &mut plan.client_actions);
        smaller |= self.remove_some(&mut plan, |plan| &mut plan.faults);
        smaller |= self.remove_workers(&mut plan);
        smaller |= self.remove_network_faults(&mut plan);
        smaller |= self.remove_skew(&mut plan);
        smaller.then_some(plan)
    }

    /// Removes halves of a list first, then quarters, down to single elements.
    fn remove_some<T: Clone>(&mut self, plan: &mut Plan, list: fn(&mut Plan) -> &mut Vec<T>) -> bool {
        let (mut smaller, mut size) = (false, list(plan).len().div_ceil(2));
        while size > 0 {
            let mut from = 0;
            while from < list(plan).len() {
                let mut candidate = plan.clone();
                let elements = list(&mut candidate);
                elements.drain(from..(from + size).min(elements.len()));
                if self.violates(&mut candidate) {
                    (*plan, smaller) = (candidate, true);
                } else {
                    from += size;
                }
            }
            size /= 2;
        }
        smaller
    }

    fn remove_workers(&mut self, plan: &mut Plan) -> bool {
        let mut smaller = false;
        while plan.workers.len() > 1 {
            let mut candidate = plan.clone();
            candidate.workers.pop();
            candidate
                .faults
                .retain(|planned| planned.worker < candidate.workers.len());
            if !self.violates(&mut candidate) {
                break;
            }
            (*plan, smaller) = (candidate, true);
        }
        smaller
    }

    /// Turns off one type of network fault after the other.
    fn remove_network_faults(&mut self, plan: &mut Plan) -> bool {
        let probabilities: [fn(&mut Plan) -> &mut u32; 7] = [
            |plan| &mut plan.network.slow,
            |plan| &mut plan.network.lose_request,
            |plan| &mut plan.network.lose_reply,
            |plan| &mut plan.network.duplicate,
            |plan| &mut plan.network.fail_before,
            |plan| &mut plan.network.fail_after,
            |plan| &mut plan.network.lose_wakeup,
        ];
        let mut smaller = false;
        for probability in probabilities {
            let mut candidate = plan.clone();
            if std::mem::take(probability(&mut candidate)) > 0 && self.violates(&mut candidate) {
                (*plan, smaller) = (candidate, true);
            }
        }
        smaller
    }

    /// Corrects one clock after the other.
    fn remove_skew(&mut self, plan: &mut Plan) -> bool {
        let mut smaller = false;
        for worker in 0..plan.workers.len() {
            let mut candidate = plan.clone();
            let skew = std::mem::take(&mut candidate.workers[worker].skew);
            let is_skewed = skew.offset != 0 || skew.drift != 0 || !skew.jumps.is_empty();
            if is_skewed && self.violates(&mut candidate) {
                (*plan, smaller) = (candidate, true);
            }
        }
        smaller
    }
}
