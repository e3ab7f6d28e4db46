//! What an accepted cancellation leads to.

use oncetask::Ending;
use oncetask::task::transition::Phase;

use super::{Breach, writes};
use crate::simulation::history::{History, Op};
use crate::simulation::plan::Plan;
use crate::simulation::tasks::Kind;

pub(super) fn a_cancellation_ends_in_a_cleanup(history: &History, _: &Plan) -> Option<Breach> {
    writes(history).find_map(|(place, _, write)| {
        let (before, after) = (write.before.as_ref()?, write.after.as_ref()?);
        let done = after
            .state
            .done
            .filter(|_| before.state.done.is_none() && after.state.cancelled_at.is_some())?;
        if done.how == Ending::Completed {
            return Some(Breach::of(
                place,
                &write.id,
                format!("`{}` was cancelled and is complete", write.id),
            ));
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
            let what = format!("`{}` was cancelled and has ended without its cleanup", write.id);
            Breach::of(place, &write.id, what)
        })
    })
}

pub(super) fn what_is_cancelled_does_not_run(history: &History, _: &Plan) -> Option<Breach> {
    writes(history).find_map(|(place, _, write)| {
        let Op::Claim { .. } = write.op else { return None };
        let task = write.after.as_ref()?;
        let runs = task.state.lease.as_ref()?.phase == Phase::Run;
        (runs && task.state.cancelled_at.is_some())
            .then(|| Breach::of(place, &write.id, format!("`{}` was cancelled and runs", write.id)))
    })
}
