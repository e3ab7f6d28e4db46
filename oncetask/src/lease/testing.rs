//! Claimed tasks for unit tests.

use chrono::{TimeDelta, Utc};

use crate::store::ClaimedTask;
use crate::task::transition::{self, Phase};
use crate::task::{Json, Lease, LeaseToken, Task, TaskId, TaskSpec};

/// Returns a claimed task with this id.
pub(crate) fn claimed(id: &str, orphaned: bool) -> ClaimedTask {
    let now = Utc::now();
    let spec = TaskSpec::new(TaskId::new(id), "A", Json::of(&()).unwrap(), now);
    claim(Task::new(spec, now), orphaned)
}

/// Claims a task and returns it.
pub(crate) fn claim(mut task: Task, orphaned: bool) -> ClaimedTask {
    let now = Utc::now();
    let lease = Lease::new(
        LeaseToken::random(),
        now + TimeDelta::minutes(1),
        "worker",
        Phase::Run,
    );
    transition::claim(&mut task, lease, now);
    ClaimedTask { task, orphaned }
}
