//! The checker reports each violation of a promise in an artificial history.

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::task::transition::Change;
use oncetask::task::{AttemptError, Done, Json, Occurrence, TaskSpec};
use oncetask::{Ending, Missed, OnceTask, Recurrence, Task, TaskId};

use super::super::effects::Effects;
use super::super::producer::Known;
use super::super::work::{Cancelled, Doomed, Plain, Ticker};
use super::{Duration, History};
use crate::journal::Entry;

/// Returns the instant this number of milliseconds after the beginning of a history.
fn at(millis: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::milliseconds(millis)
}

/// A history under construction.
struct HistoryBuilder {
    entries: Vec<Entry>,
    history: History,
}

impl HistoryBuilder {
    fn new() -> Self {
        let history = History {
            heartbeat: Duration::from_secs(2),
            ..History::default()
        };
        Self {
            entries: Vec::new(),
            history,
        }
    }

    /// Adds an effect of a handler, for example `run/begin/1`.
    fn effect(&mut self, millis: i64, event: &str, id: &str, attempt: u32) -> &mut Self {
        self.entries.push(Entry {
            nanos: super::instant(at(millis)),
            process: 1,
            event: event.to_owned(),
            id: TaskId::new(id),
            attempt,
        });
        self
    }

    /// Adds a call that succeeds in the first attempt.
    fn call(&mut self, number: u64, (from, to): (i64, i64), id: &str) -> &mut Self {
        self.effect(from, &format!("run/begin/{number}"), id, 1).effect(
            to,
            &format!("run/end/{number}"),
            id,
            1,
        )
    }

    fn known(&mut self, kind: &'static str, id: &str) -> &mut Known {
        let id = TaskId::new(id);
        self.history
            .known
            .entry(id)
            .or_insert_with(|| Known::new(kind, None, false))
    }

    fn stored(&mut self, task: Task) -> &mut Self {
        self.history.records.tasks.insert(task.id().clone(), task);
        self
    }

    /// Returns the names of the broken promises, and removes the effects.
    fn violations(&mut self) -> Vec<String> {
        self.history.effects = Effects::of(std::mem::take(&mut self.entries));
        let violations = self.history.check();
        let name = |violation: &String| violation.split(':').next().unwrap_or_default().to_owned();
        violations.iter().map(name).collect()
    }
}

fn task(kind: &str, id: &str) -> Task {
    let payload = Json::parse("{}").expect("valid JSON");
    Task::new(TaskSpec::new(TaskId::new(id), kind, payload, at(0)), at(0))
}

/// Returns a task that call 1 completed in its first attempt.
fn completed(kind: &str, id: &str, millis: i64) -> Task {
    let mut task = task(kind, id);
    task.state.attempts = 1;
    task.state.result = Some(Json::parse(r#"{"call":1,"attempt":1}"#).expect("valid JSON"));
    task.state.done = Some(Done::new(at(millis), Ending::Completed));
    task
}

/// Returns a history without a violation: a plain task ran once and completed.
fn correct_history() -> HistoryBuilder {
    let mut history = HistoryBuilder::new();
    history.known(Plain::KIND, "plain:1");
    history
        .stored(completed(Plain::KIND, "plain:1", 100))
        .call(1, (10, 90), "plain:1");
    history
}

#[test]
fn a_correct_history_has_no_violation() {
    assert_eq!(correct_history().violations(), [""; 0]);
}

#[test]
fn an_acknowledged_task_that_is_not_stored_is_lost() {
    let mut history = HistoryBuilder::new();
    history.known(Plain::KIND, "plain:1");
    assert_eq!(history.violations(), ["lost"]);
    let mut history = correct_history();
    history.effect(50, "run/created/1", "plain:2", 0);
    assert_eq!(history.violations(), ["lost"], "a task that a handler created");
}

#[test]
fn a_task_that_is_not_done_never_ends() {
    let mut history = HistoryBuilder::new();
    history.known(Plain::KIND, "plain:1");
    assert_eq!(
        history.stored(task(Plain::KIND, "plain:1")).violations(),
        ["never ends"]
    );
}

#[test]
fn unacknowledged_calls_and_permanent_errors_are_reported() {
    let mut history = correct_history();
    history.history.unacknowledged = 1;
    history
        .history
        .permanent_errors
        .push("the file is not a database".to_owned());
    assert_eq!(history.violations(), ["permanent error", "never acknowledged"]);
}

#[test]
fn a_second_completion_is_a_change_after_the_end() {
    let mut history = correct_history();
    history.known(Plain::KIND, "plain:1").ended_as = Some(completed(Plain::KIND, "plain:1", 95));
    assert_eq!(history.violations(), ["changed"]);
}

#[test]
fn a_result_that_no_call_returned_is_unproven() {
    let mut history = HistoryBuilder::new();
    history.known(Plain::KIND, "plain:1");
    history.stored(completed(Plain::KIND, "plain:1", 100));
    assert_eq!(
        history.effect(10, "run/begin/1", "plain:1", 1).violations(),
        ["unproven"]
    );
}

#[test]
fn overlapping_calls_of_a_task_or_a_key_are_reported() {
    let mut history = correct_history();
    assert_eq!(history.call(2, (50, 60), "plain:1").violations(), ["overlap"]);
    let mut history = HistoryBuilder::new();
    history
        .call(1, (0, 100), "keyed:3:1")
        .call(2, (99, 110), "keyed:3:2");
    assert_eq!(history.violations(), ["overlap"]);
    history
        .call(1, (0, 100), "keyed:3:1")
        .call(2, (100, 110), "keyed:3:2");
    history
        .call(3, (0, 100), "keyed:4:3")
        .call(4, (0, 100), "plain:5");
    assert_eq!(history.violations(), [""; 0], "other keys, and consecutive calls");
    history
        .call(1, (0, 100), "grouped:3:1")
        .call(1, (0, 100), "grouped:3:2");
    assert_eq!(history.violations(), [""; 0], "the tasks of a group are one call");
    history
        .call(1, (0, 100), "keyed:3:1")
        .call(2, (10, 20), "keyed:3:2")
        .call(3, (50, 60), "keyed:3:3");
    assert_eq!(
        history.violations(),
        ["overlap", "overlap"],
        "a long call overlaps two short ones"
    );
}

#[test]
fn an_effect_after_the_end_comes_from_a_zombie() {
    let mut history = correct_history();
    assert_eq!(history.call(2, (110, 120), "plain:1").violations(), ["zombie"]);
}

#[test]
fn a_handler_that_runs_before_its_task_is_due_is_early() {
    let mut history = correct_history();
    history.known(Plain::KIND, "plain:1").not_before = Some(at(20));
    assert_eq!(history.violations(), ["early"]);
}

#[test]
fn attempts_and_errors_must_add_up() {
    let mut history = correct_history();
    let mut task = completed(Plain::KIND, "plain:1", 100);
    task.state
        .errors
        .push(AttemptError::new(at(50), 1, "an intended failure"));
    assert_eq!(history.stored(task).violations(), ["attempts"]);
    let mut history = correct_history();
    history
        .effect(5, "run/begin/9", "plain:1", 2)
        .effect(6, "run/fail/9", "plain:1", 2);
    assert_eq!(
        history.violations(),
        ["attempts"],
        "the second attempt was not counted"
    );
}

#[test]
fn a_task_that_always_fails_must_not_complete() {
    let mut history = HistoryBuilder::new();
    history.known(Doomed::KIND, "doomed:1");
    history.stored(completed(Doomed::KIND, "doomed:1", 100));
    assert_eq!(history.call(1, (10, 90), "doomed:1").violations(), ["ending"]);
}

#[test]
fn a_cancellation_must_lead_to_a_cleanup() {
    let cancelled = || {
        let mut task = completed(Cancelled::KIND, "cancelled:1", 5000);
        (task.state.attempts, task.state.result) = (0, None);
        (task.state.cleanup_attempts, task.state.cancelled_at) = (1, Some(at(5)));
        task.state.done = Some(Done::new(at(5000), Ending::Cancelled));
        let mut history = HistoryBuilder::new();
        history.known(Cancelled::KIND, "cancelled:1").cancelled = Some((at(10), Change::Applied));
        history.stored(task);
        history
    };
    let clean_up = |history: &mut HistoryBuilder| {
        history.effect(4000, "cleanup/begin/2", "cancelled:1", 1).effect(
            4010,
            "cleanup/end/2",
            "cancelled:1",
            1,
        );
    };
    assert_eq!(cancelled().violations(), ["cleanup"]);
    let mut history = cancelled();
    clean_up(&mut history);
    assert_eq!(history.violations(), [""; 0]);
    clean_up(&mut history);
    history.effect(3000, "run/begin/1", "cancelled:1", 1);
    assert_eq!(
        history.violations(),
        ["cleanup"],
        "the handler ran long after the cancellation"
    );
    let mut history = correct_history();
    history.known(Plain::KIND, "plain:1").cancelled = Some((at(10), Change::Applied));
    assert_eq!(history.violations(), ["ending"], "the cancelled task completed");
}

#[test]
fn a_deleted_task_must_not_be_stored_and_must_not_run() {
    let mut history = correct_history();
    history.known(Plain::KIND, "plain:1").deleted = Some(at(0));
    assert_eq!(history.violations(), ["deleted"], "the task is still stored");
    let mut history = HistoryBuilder::new();
    history.known(Plain::KIND, "plain:1").deleted = Some(at(0));
    assert_eq!(history.call(1, (10, 1900), "plain:1").violations(), [""; 0]);
    assert_eq!(history.call(1, (10, 2100), "plain:1").violations(), ["deleted"]);
}

#[test]
fn occurrences_must_follow_the_rule() {
    let generator = |missed| {
        let mut task = completed(Ticker::KIND, "ticker:1", 9000);
        let rule = Recurrence::new("FREQ=SECONDLY;COUNT=3").expect("a valid rule");
        task.spec.recurrence = Some(rule.anchored_at(at(0)).missed(missed));
        task
    };
    let violations = |missed, seconds: &[i64]| {
        let mut history = HistoryBuilder::new();
        history.known(Ticker::KIND, "ticker:1");
        history.stored(generator(missed));
        for (number, second) in (1..).zip(seconds) {
            let id = format!("ticker:1_occ_{number}");
            let (began, ended) = (second.abs() * 1000 + 10, second.abs() * 1000 + 20);
            let mut task = completed(Ticker::KIND, &id, ended);
            let generator = TaskId::new("ticker:1");
            task.spec.occurrence = Some(Occurrence::new(generator.clone(), at(second * 1000)));
            let receipt = format!(r#"{{"call":{number},"attempt":1}}"#);
            task.state.result = Some(Json::parse(receipt).expect("valid JSON"));
            let occurrences = &mut history.history.records.occurrences;
            occurrences.entry(generator).or_default().push(task);
            history.call(number, (began, ended), &id);
        }
        history.violations()
    };
    let all = Missed::All { max: 100 };
    assert_eq!(violations(all, &[0, 1, 2]), [""; 0]);
    assert_eq!(violations(all, &[0, 2]), ["occurrences"], "an instant is missing");
    assert_eq!(violations(Missed::One, &[0, 2]), [""; 0]);
    assert_eq!(
        violations(Missed::One, &[0, 0]),
        ["occurrences"],
        "an instant has two occurrences"
    );
    assert_eq!(
        violations(Missed::One, &[0, 3]),
        ["occurrences"],
        "an instant is not in the rule"
    );
}
