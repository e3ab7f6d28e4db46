//! Effects: what handlers wrote to the journal while they ran, and the calls that it tells of.
//!
//! A line says which call of a handler wrote it. Its instant is read at the beginning of a poll, so it is
//! also the instant of that poll: what was under way when a process was frozen happened before the freeze.

use std::collections::HashMap;
use std::time::Duration;

use oncetask::{HandlerError, TaskId};
use serde::{Deserialize, Serialize};

use super::work::exclusive;
use crate::journal::{Entry, Journal};

/// How often a handler that works says so.
const TICK: Duration = Duration::from_millis(40);

/// Which handler of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Run,
    Cleanup,
}

/// What a handler returns: proof of which call it was that completed the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) call: u64,
    pub(crate) attempt: u32,
}

/// A call of a handler, as the handler sees it.
#[derive(Debug)]
pub(crate) struct Call {
    number: u64,
    phase: Phase,
    tasks: Vec<(TaskId, u32)>,
    journal: Journal,
}

impl Call {
    pub(crate) fn begin<'a>(
        journal: &Journal,
        phase: Phase,
        tasks: impl IntoIterator<Item = (&'a TaskId, u32)>,
    ) -> Self {
        let tasks = tasks.into_iter().map(|(id, attempt)| (id.clone(), attempt));
        let call = Self {
            number: fastrand::u64(..),
            phase,
            tasks: tasks.collect(),
            journal: journal.clone(),
        };
        call.all("begin");
        call
    }

    /// Works for a while, and says so now and then.
    pub(crate) async fn work(&self, millis: u64) {
        let mut left = Duration::from_millis(millis);
        while !left.is_zero() {
            let step = left.min(TICK);
            tokio::time::sleep(step).await;
            self.one("tick", 0);
            left -= step;
        }
    }

    pub(crate) fn created(&self, child: &TaskId) {
        self.journal.write(&self.event("created"), child, 0);
    }

    pub(crate) fn end(&self) -> Receipt {
        self.end_one(0)
    }

    pub(crate) fn end_one(&self, place: usize) -> Receipt {
        self.one("end", place);
        Receipt {
            call: self.number,
            attempt: self.tasks[place].1,
        }
    }

    pub(crate) fn fail(&self) -> HandlerError {
        self.fail_one(0)
    }

    pub(crate) fn fail_one(&self, place: usize) -> HandlerError {
        self.one("fail", place);
        "it fails, as it should".into()
    }

    fn all(&self, what: &str) {
        for place in 0..self.tasks.len() {
            self.one(what, place);
        }
    }

    fn one(&self, what: &str, place: usize) {
        let (id, attempt) = &self.tasks[place];
        self.journal.write(&self.event(what), id, *attempt);
    }

    fn event(&self, what: &str) -> String {
        let phase = match self.phase {
            Phase::Run => "run",
            Phase::Cleanup => "cleanup",
        };
        format!("{phase}/{what}/{}", self.number)
    }
}

/// A call of a handler, as its effects tell of it.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) process: u32,
    pub(crate) number: u64,
    pub(crate) phase: Phase,
    /// Each task, its attempt, and whether the handler came to an end of it.
    pub(crate) tasks: Vec<TaskOfCall>,
    /// The first effect and the last, in nanoseconds of the computer's clock.
    pub(crate) begun: u128,
    pub(crate) last: u128,
}

/// What a call did to one of its tasks.
#[derive(Clone, Debug)]
pub(crate) struct TaskOfCall {
    pub(crate) id: TaskId,
    pub(crate) attempt: u32,
    pub(crate) ended: bool,
    pub(crate) failed: bool,
}

impl Ran {
    /// What this call had for itself.
    pub(crate) fn exclusive(&self) -> &str {
        self.tasks.first().map_or("", |first| exclusive(&first.id))
    }

    pub(crate) fn of(&self, id: &TaskId) -> Option<&TaskOfCall> {
        self.tasks.iter().find(|task| task.id == *id)
    }

    /// Whether the handler was cut off: it neither ended nor failed.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.tasks.iter().all(|task| !task.ended && !task.failed)
    }
}

/// All that a journal tells: the calls by their beginnings, and the tasks that handlers created.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effects {
    pub(crate) calls: Vec<Ran>,
    pub(crate) children: Vec<TaskId>,
}

impl Effects {
    pub(crate) fn read(journal: &Journal) -> Self {
        Self::of(journal.read())
    }

    pub(crate) fn of(mut entries: Vec<Entry>) -> Self {
        entries.sort_by_key(|entry| entry.nanos);
        let (mut calls, mut children) = (HashMap::new(), Vec::new());
        for entry in entries {
            let event = entry.event.clone();
            let mut words = event.split('/');
            let (Some(phase), Some(what), Some(Ok(number))) =
                (words.next(), words.next(), words.next().map(str::parse))
            else {
                continue;
            };
            if what == "created" {
                children.push(entry.id);
                continue;
            }
            let phase = if phase == "run" {
                Phase::Run
            } else {
                Phase::Cleanup
            };
            let call = calls.entry(number).or_insert_with(|| Ran {
                process: entry.process,
                number,
                phase,
                tasks: Vec::new(),
                begun: entry.nanos,
                last: entry.nanos,
            });
            call.last = entry.nanos;
            note(call, what, entry);
        }
        let mut calls: Vec<_> = calls.into_values().collect();
        calls.sort_by_key(|call| call.begun);
        Self { calls, children }
    }

    /// The calls of each task, by their beginnings.
    pub(crate) fn by_task(&self) -> HashMap<&TaskId, Vec<&Ran>> {
        let mut by_task: HashMap<_, Vec<_>> = HashMap::new();
        for call in &self.calls {
            for task in &call.tasks {
                by_task.entry(&task.id).or_default().push(call);
            }
        }
        by_task
    }
}

fn note(call: &mut Ran, what: &str, entry: Entry) {
    match what {
        "begin" => call.tasks.push(TaskOfCall {
            id: entry.id,
            attempt: entry.attempt,
            ended: false,
            failed: false,
        }),
        "tick" => {}
        _ => {
            for task in call.tasks.iter_mut().filter(|task| task.id == entry.id) {
                task.ended |= what == "end";
                task.failed |= what == "fail";
            }
        }
    }
}
