//! Histories that are wrong, each of which must be called so.

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::task::transition::Change;
use oncetask::task::{AttemptError, Done, Json, Occurrence, TaskSpec};
use oncetask::{Ending, Missed, OnceTask, Recurrence, Task, TaskId};

use super::super::effects::Effects;
use super::super::producer::Known;
use super::super::work::{Cancelled, Doomed, Plain, Ticker};
use super::{Duration, History};
use crate::journal::Entry;

/// Milliseconds after the beginning of every history here.
fn at(millis: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::milliseconds(millis)
}

/// A history in the making: what handlers wrote, and what the store says.
struct Scene {
    entries: Vec<Entry>,
    history: History,
}

impl Scene {
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

    /// A handler's effect, as in `run/begin/1`.
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

    /// The names of the promises that were broken.
    fn broken(&mut self) -> Vec<String> {
        self.history.effects = Effects::of(std::mem::take(&mut self.entries));
        let violations = self.history.check();
        let name = |violation: &String| violation.split(':').next().unwrap_or_default().to_owned();
        violations.iter().map(name).collect()
    }
}

fn task(kind: &str, id: &str) -> Task {
    let spec = TaskSpec {
        id: TaskId::new(id),
        kind: kind.into(),
        payload: Json::parse("{}").expect("JSON"),
        resource_key: None,
        created_at: at(0),
        recurrence: None,
        occurrence: None,
    };
    Task::new(spec, at(0))
}

/// A task that call 1 completed in its first attempt.
fn completed(kind: &str, id: &str, millis: i64) -> Task {
    let mut task = task(kind, id);
    task.state.attempts = 1;
    task.state.result = Some(Json::parse(r#"{"call":1,"attempt":1}"#).expect("JSON"));
    task.state.done = Some(Done {
        at: at(millis),
        how: Ending::Completed,
    });
    task
}

/// A plain task that ran once and completed: nothing is wrong yet.
fn good() -> Scene {
    let mut scene = Scene::new();
    scene.known(Plain::KIND, "plain:1");
    scene
        .stored(completed(Plain::KIND, "plain:1", 100))
        .call(1, (10, 90), "plain:1");
    scene
}

#[test]
fn a_history_that_is_right_is_called_so() {
    assert_eq!(good().broken(), [""; 0]);
}

#[test]
fn a_task_that_is_not_there_is_lost() {
    let mut scene = Scene::new();
    scene.known(Plain::KIND, "plain:1");
    assert_eq!(scene.broken(), ["lost"]);
    let mut scene = good();
    scene.effect(50, "run/created/1", "plain:2", 0);
    assert_eq!(scene.broken(), ["lost"], "one that a handler created");
}

#[test]
fn a_task_that_is_not_done_never_ends() {
    let mut scene = Scene::new();
    scene.known(Plain::KIND, "plain:1");
    assert_eq!(
        scene.stored(task(Plain::KIND, "plain:1")).broken(),
        ["never ends"]
    );
}

#[test]
fn a_call_that_is_not_answered_and_an_error_without_hope_are_told() {
    let mut scene = good();
    scene.history.unacknowledged = 1;
    scene.history.errors.push("the file is no database".to_owned());
    assert_eq!(scene.broken(), ["hopeless", "never acknowledged"]);
}

#[test]
fn a_second_completion_is_a_change_after_the_end() {
    let mut scene = good();
    scene.known(Plain::KIND, "plain:1").seen = Some(completed(Plain::KIND, "plain:1", 95));
    assert_eq!(scene.broken(), ["changed"]);
}

#[test]
fn a_result_that_no_call_gave_is_unproven() {
    let mut scene = Scene::new();
    scene.known(Plain::KIND, "plain:1");
    scene.stored(completed(Plain::KIND, "plain:1", 100));
    assert_eq!(
        scene.effect(10, "run/begin/1", "plain:1", 1).broken(),
        ["unproven"]
    );
}

#[test]
fn two_calls_of_a_task_or_a_key_are_beside_each_other() {
    let mut scene = good();
    assert_eq!(scene.call(2, (50, 60), "plain:1").broken(), ["beside"]);
    let mut scene = Scene::new();
    scene
        .call(1, (0, 100), "keyed:3:1")
        .call(2, (99, 110), "keyed:3:2");
    assert_eq!(scene.broken(), ["beside"]);
    scene
        .call(1, (0, 100), "keyed:3:1")
        .call(2, (100, 110), "keyed:3:2");
    scene.call(3, (0, 100), "keyed:4:3").call(4, (0, 100), "plain:5");
    assert_eq!(scene.broken(), [""; 0], "other keys, and one after the other");
    // The tasks of a group are one call.
    scene
        .call(1, (0, 100), "grouped:3:1")
        .call(1, (0, 100), "grouped:3:2");
    assert_eq!(scene.broken(), [""; 0]);
    // A long call goes on beside the second and the third.
    scene
        .call(1, (0, 100), "keyed:3:1")
        .call(2, (10, 20), "keyed:3:2")
        .call(3, (50, 60), "keyed:3:3");
    assert_eq!(scene.broken(), ["beside", "beside"]);
}

#[test]
fn an_effect_after_the_end_is_a_zombies() {
    let mut scene = good();
    assert_eq!(scene.call(2, (110, 120), "plain:1").broken(), ["zombie"]);
}

#[test]
fn a_task_that_runs_before_its_time_is_early() {
    let mut scene = good();
    scene.known(Plain::KIND, "plain:1").not_before = Some(at(20));
    assert_eq!(scene.broken(), ["early"]);
}

#[test]
fn attempts_and_errors_must_add_up() {
    let mut scene = good();
    let mut task = completed(Plain::KIND, "plain:1", 100);
    task.state.errors.push(AttemptError {
        at: at(50),
        attempt: 1,
        cleanup: false,
        error: "it fails".to_owned(),
    });
    assert_eq!(scene.stored(task).broken(), ["attempts"]);
    let mut scene = good();
    scene
        .effect(5, "run/begin/9", "plain:1", 2)
        .effect(6, "run/fail/9", "plain:1", 2);
    assert_eq!(scene.broken(), ["attempts"], "the second was not counted");
}

#[test]
fn a_task_that_always_fails_does_not_complete() {
    let mut scene = Scene::new();
    scene.known(Doomed::KIND, "doomed:1");
    scene.stored(completed(Doomed::KIND, "doomed:1", 100));
    assert_eq!(scene.call(1, (10, 90), "doomed:1").broken(), ["ending"]);
}

#[test]
fn a_cancellation_leads_to_a_cleanup() {
    let cancelled = || {
        let mut task = completed(Cancelled::KIND, "cancelled:1", 5000);
        (task.state.attempts, task.state.result) = (0, None);
        (task.state.cleanup_attempts, task.state.cancelled_at) = (1, Some(at(5)));
        task.state.done = task.state.done.map(|done| Done {
            how: Ending::Cancelled,
            ..done
        });
        let mut scene = Scene::new();
        scene.known(Cancelled::KIND, "cancelled:1").cancelled = Some((at(10), Change::Applied));
        scene.stored(task);
        scene
    };
    let clean_up = |scene: &mut Scene| {
        scene.effect(4000, "cleanup/begin/2", "cancelled:1", 1).effect(
            4010,
            "cleanup/end/2",
            "cancelled:1",
            1,
        );
    };
    assert_eq!(cancelled().broken(), ["cleanup"]);
    let mut scene = cancelled();
    clean_up(&mut scene);
    assert_eq!(scene.broken(), [""; 0]);
    clean_up(&mut scene);
    scene.effect(3000, "run/begin/1", "cancelled:1", 1);
    assert_eq!(
        scene.broken(),
        ["cleanup"],
        "its handler ran long after the cancellation"
    );
    let mut scene = good();
    scene.known(Plain::KIND, "plain:1").cancelled = Some((at(10), Change::Applied));
    assert_eq!(scene.broken(), ["ending"], "it completed all the same");
}

#[test]
fn a_deleted_task_is_gone_and_runs_no_more() {
    let mut scene = good();
    scene.known(Plain::KIND, "plain:1").deleted = Some(at(0));
    assert_eq!(scene.broken(), ["deleted"], "it is still there");
    let mut scene = Scene::new();
    scene.known(Plain::KIND, "plain:1").deleted = Some(at(0));
    assert_eq!(scene.call(1, (10, 1900), "plain:1").broken(), [""; 0]);
    assert_eq!(scene.call(1, (10, 2100), "plain:1").broken(), ["deleted"]);
}

#[test]
fn occurrences_are_those_of_the_rule() {
    let generator = |missed| {
        let mut task = completed(Ticker::KIND, "ticker:1", 9000);
        let rule = Recurrence::new("FREQ=SECONDLY;COUNT=3").expect("a rule");
        task.spec.recurrence = Some(rule.anchored_at(at(0)).missed(missed));
        task
    };
    let broken = |missed, seconds: &[i64]| {
        let mut scene = Scene::new();
        scene.known(Ticker::KIND, "ticker:1");
        scene.stored(generator(missed));
        for (number, second) in (1..).zip(seconds) {
            let id = format!("ticker:1_occ_{number}");
            let (began, ended) = (second.abs() * 1000 + 10, second.abs() * 1000 + 20);
            let mut task = completed(Ticker::KIND, &id, ended);
            task.spec.occurrence = Some(Occurrence {
                generator: TaskId::new("ticker:1"),
                at: at(second * 1000),
            });
            let receipt = format!(r#"{{"call":{number},"attempt":1}}"#);
            task.state.result = Some(Json::parse(receipt).expect("JSON"));
            let occurrences = &mut scene.history.records.occurrences;
            occurrences.entry(TaskId::new("ticker:1")).or_default().push(task);
            scene.call(number, (began, ended), &id);
        }
        scene.broken()
    };
    let all = Missed::All { max: 100 };
    assert_eq!(broken(all, &[0, 1, 2]), [""; 0]);
    assert_eq!(broken(all, &[0, 2]), ["occurrences"], "one is missing");
    assert_eq!(broken(Missed::One, &[0, 2]), [""; 0]);
    assert_eq!(broken(Missed::One, &[0, 0]), ["occurrences"], "one comes twice");
    assert_eq!(
        broken(Missed::One, &[0, 3]),
        ["occurrences"],
        "one is not the rule's"
    );
}
