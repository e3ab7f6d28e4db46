//! What has to be true of every history.

mod cancellation;
mod claims;
mod counts;
mod ends;
mod handlers;
mod occurrences;

use oncetask::TaskId;

pub(super) use self::occurrences::starts;

use super::history::{Event, History, What, Write};
use super::plan::Plan;

/// Something that must not happen, and did.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The invariant.
    pub invariant: &'static str,
    /// What happened.
    pub what: String,
    /// The tasks that it happened to.
    pub ids: Vec<TaskId>,
    /// The place of the event in the history.
    pub(crate) place: usize,
}

/// What broke an invariant, and where.
pub(crate) struct Breach {
    place: usize,
    ids: Vec<TaskId>,
    what: String,
}

type Check = fn(&History, &Plan) -> Option<Breach>;

/// The invariants, by name.
pub(crate) const ALL: &[(&str, Check)] = &[
    ("no acknowledged task is lost", ends::no_acknowledged_task_is_lost),
    ("what is answered is stored", ends::what_is_answered_is_stored),
    ("each id is created once", ends::each_id_is_created_once),
    (
        "at most one completion is accepted, for each reset",
        ends::one_completion_for_each_reset,
    ),
    ("every task ends once the faults stop", ends::every_task_ends),
    (
        "nothing is claimed before it is due",
        claims::nothing_is_claimed_early,
    ),
    (
        "no two claims of a resource key overlap",
        claims::claims_of_a_key_do_not_overlap,
    ),
    (
        "only the claim that holds a task writes to it",
        claims::writes_show_the_token,
    ),
    ("a claim ends once", claims::a_claim_ends_once),
    (
        "a lease that has ended is never extended",
        claims::an_ended_lease_is_not_extended,
    ),
    ("a lease is never set back", claims::a_lease_is_not_set_back),
    (
        "no handler outlives its stored lease",
        handlers::no_handler_outlives_its_lease,
    ),
    (
        "no handler runs beside another of its task or key",
        handlers::no_handler_runs_beside_another,
    ),
    (
        "a completion is what a handler returned under that claim",
        handlers::a_completion_was_returned,
    ),
    (
        "every handler runs under a claim of its worker",
        handlers::every_handler_has_a_claim,
    ),
    ("attempts and errors add up", counts::attempts_and_errors_add_up),
    (
        "the occurrences are those of the rule",
        occurrences::occurrences_are_those_of_the_rule,
    ),
    (
        "a cancellation ends in a cleanup",
        cancellation::a_cancellation_ends_in_a_cleanup,
    ),
    (
        "what is cancelled does not run again",
        cancellation::what_is_cancelled_does_not_run,
    ),
];

/// The first violation of each invariant, in the order in which they happened.
pub(crate) fn check(history: &History, plan: &Plan) -> Vec<Violation> {
    let breaches = ALL.iter().filter_map(|(invariant, check)| {
        let Breach { place, ids, what } = check(history, plan)?;
        Some(Violation {
            invariant,
            what,
            ids,
            place,
        })
    });
    let mut violations: Vec<_> = breaches.collect();
    violations.sort_by_key(|violation| violation.place);
    violations
}

/// The names of the invariants.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

impl Breach {
    fn of(place: usize, id: &TaskId, what: impl Into<String>) -> Self {
        Self {
            place,
            ids: vec![id.clone()],
            what: what.into(),
        }
    }

    fn with(mut self, id: &TaskId) -> Self {
        self.ids.push(id.clone());
        self
    }
}

/// The writes, with their places.
fn writes(history: &History) -> impl Iterator<Item = (usize, &Event, &Write)> {
    let events = history.events.iter().enumerate();
    events.filter_map(|(place, event)| match &event.what {
        What::Write(write) => Some((place, event, &**write)),
        _ => None,
    })
}
