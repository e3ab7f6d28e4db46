//! Invariants of accepted cancellations.

use oncetask::Ending;
use oncetask::task::transition::Phase;

use super::{Finding, writes};
use crate::simulation::history::{History, Op};
use crate::simulation::plan::Plan;
use crate::simulation::tasks::Kind;

/// Checks that a cancelled task never completes, and ends with a claim for the cleanup if its type has a cleanup
/// handler.
pub(super) fn a_cancelled_task_is_cleaned_up(history: &History, _: &Plan) -> Option<Finding> {
    writes(history).find_map(|(index, _, write)| {
        let (before, after) = (write.before.as_ref()?, write.after.as_ref()?);
        let done = after
            .state
            .done
            .filter(|_| before.state.done.is_none() && after.state.cancelled_at.is_some())?;
        if done.how == Ending::Completed {
            let description = format!("`{}` was cancelled, and completed", write.id);
            return Some(Finding::new(index, &write.id, description));
        }
        if after.spec.recurrence.is_some() || !Kind::cleans_up(after.kind()) {
            return None;
        }
        let cleaned_up = matches!(write.op, Op::Finish { accepted: true, .. })
            && before
                .state
                .lease
                .as_ref()
                .is_some_and(|lease| lease.phase == Phase::Cleanup);
        (!cleaned_up).then(|| {
            let description = format!("`{}` was cancelled, and ended without its cleanup", write.id);
            Finding::new(index, &write.id, description)
        })
    })
}

pub(super) fn a_cancelled_task_does_not_run_again(history: &History, _: &Plan) -> Option<Finding> {
    writes(history).find_map(|(index, _, write)| {
        let Op::Claim { .. } = write.op else { return None };
        let task = write.after.as_ref()?;
        let runs = task.state.lease.as_ref()?.phase == Phase::Run;
        (runs && task.state.cancelled_at.is_some()).then(|| {
            let description = format!("`{}` was cancelled, and runs again", write.id);
            Finding::new(index, &write.id, description)
        })
    })
}
