//! The invariants: facts that every history must satisfy.

mod cancellation;
mod claims;
mod counts;
mod handlers;
mod lifecycle;
mod occurrences;

use oncetask::TaskId;

pub(super) use self::occurrences::rule_start;

use super::history::{Event, EventKind, History, Write};
use super::plan::Plan;

/// A violated invariant.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The invariant.
    pub invariant: &'static str,
    /// The facts that violate it.
    pub description: String,
    /// The tasks involved.
    pub ids: Vec<TaskId>,
    /// The index of the event in the history.
    pub(crate) index: usize,
}

/// The finding of one check.
pub(crate) struct Finding {
    index: usize,
    ids: Vec<TaskId>,
    description: String,
}

type Check = fn(&History, &Plan) -> Option<Finding>;

/// The invariants by name.
pub(crate) const ALL: &[(&str, Check)] = &[
    (
        "no acknowledged task is lost",
        lifecycle::no_acknowledged_task_is_lost,
    ),
    (
        "every response matches the stored task",
        lifecycle::every_response_matches_the_stored_task,
    ),
    ("each id is created once", lifecycle::each_id_is_created_once),
    (
        "at most one completion is accepted per reset",
        lifecycle::at_most_one_completion_per_reset,
    ),
    ("every task ends once the faults stop", lifecycle::every_task_ends),
    (
        "no task is claimed before it is due",
        claims::no_task_is_claimed_before_it_is_due,
    ),
    (
        "no two claims of a resource key overlap",
        claims::claims_of_a_key_do_not_overlap,
    ),
    (
        "only the active claim of a task writes to it",
        claims::only_the_active_claim_writes,
    ),
    ("a claim ends once", claims::a_claim_ends_once),
    (
        "an expired lease is never extended",
        claims::an_expired_lease_is_not_extended,
    ),
    ("a lease is never shortened", claims::a_lease_is_not_shortened),
    (
        "no handler outlives its stored lease",
        handlers::no_handler_outlives_its_lease,
    ),
    (
        "handlers of one task or key never overlap",
        handlers::handlers_do_not_overlap,
    ),
    (
        "every completion was returned by a handler under that claim",
        handlers::every_completion_was_returned,
    ),
    (
        "every handler runs under a claim of its worker",
        handlers::every_handler_has_a_claim,
    ),
    ("attempts and errors add up", counts::attempts_and_errors_add_up),
    (
        "occurrences follow the rule",
        occurrences::occurrences_follow_the_rule,
    ),
    (
        "a cancelled task is cleaned up",
        cancellation::a_cancelled_task_is_cleaned_up,
    ),
    (
        "a cancelled task does not run again",
        cancellation::a_cancelled_task_does_not_run_again,
    ),
];

/// Returns the first violation of each invariant, in the order of the events.
pub(crate) fn check(history: &History, plan: &Plan) -> Vec<Violation> {
    let findings = ALL.iter().filter_map(|(invariant, check)| {
        let Finding {
            index,
            ids,
            description,
        } = check(history, plan)?;
        Some(Violation {
            invariant,
            description,
            ids,
            index,
        })
    });
    let mut violations: Vec<_> = findings.collect();
    violations.sort_by_key(|violation| violation.index);
    violations
}

/// Returns the names of the invariants.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

impl Finding {
    fn new(index: usize, id: &TaskId, description: impl Into<String>) -> Self {
        Self {
            index,
            ids: vec![id.clone()],
            description: description.into(),
        }
    }

    /// Adds a second task.
    fn with(mut self, id: &TaskId) -> Self {
        self.ids.push(id.clone());
        self
    }
}

/// Returns the writes with their indexes in the history.
fn writes(history: &History) -> impl Iterator<Item = (usize, &Event, &Write)> {
    let events = history.events.iter().enumerate();
    events.filter_map(|(index, event)| match &event.kind {
        EventKind::Write(write) => Some((index, event, &**write)),
        _ => None,
    })
}
