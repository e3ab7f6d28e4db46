//! The effects of handlers: lines in the journal, and the calls that they show.
//!
//! Each line names the call of the handler that wrote it. Its time is read at the beginning of a poll, and is the
//! time of that poll: code that was running when its process was frozen ran before the freeze.

use std::collections::HashMap;
use std::time::Duration;

use oncetask::{HandlerError, TaskId};
use serde::{Deserialize, Serialize};

use super::work::resource;
use crate::journal::{Entry, Journal};

/// The interval at which a working handler writes a line.
const TICK: Duration = Duration::from_millis(40);

/// The handler of the task type that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Run,
    Cleanup,
}

/// The result of a handler. It proves which call completed the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) call: u64,
    pub(crate) attempt: u32,
}

/// A call of a handler that writes its effects to the journal.
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
        for index in 0..call.tasks.len() {
            call.write("begin", index);
        }
        call
    }

    /// Works for this number of milliseconds, and writes a line in each interval of [`TICK`].
    pub(crate) async fn work(&self, millis: u64) {
        let mut left = Duration::from_millis(millis);
        while !left.is_zero() {
            let step = left.min(TICK);
            tokio::time::sleep(step).await;
            self.write("tick", 0);
            left -= step;
        }
    }

    /// Records that the handler created a task.
    pub(crate) fn created(&self, child: &TaskId) {
        self.journal.write(&self.event("created"), child, 0);
    }

    /// Records that the handler succeeded for its only task.
    pub(crate) fn end(&self) -> Receipt {
        self.end_one(0)
    }

    /// Records that the handler succeeded for one task of its group.
    pub(crate) fn end_one(&self, index: usize) -> Receipt {
        self.write("end", index);
        Receipt {
            call: self.number,
            attempt: self.tasks[index].1,
        }
    }

    /// Records that the handler failed for its only task.
    pub(crate) fn fail(&self) -> HandlerError {
        self.fail_one(0)
    }

    /// Records that the handler failed for one task of its group.
    pub(crate) fn fail_one(&self, index: usize) -> HandlerError {
        self.write("fail", index);
        "an intended failure".into()
    }

    fn write(&self, event: &str, index: usize) {
        let (id, attempt) = &self.tasks[index];
        self.journal.write(&self.event(event), id, *attempt);
    }

    fn event(&self, event: &str) -> String {
        let phase = match self.phase {
            Phase::Run => "run",
            Phase::Cleanup => "cleanup",
        };
        format!("{phase}/{event}/{}", self.number)
    }
}

/// A call of a handler as the journal shows it.
#[derive(Clone, Debug)]
pub(crate) struct RecordedCall {
    /// The id of the process that ran it.
    pub(crate) process: u32,
    pub(crate) number: u64,
    pub(crate) phase: Phase,
    pub(crate) tasks: Vec<RecordedAttempt>,
    /// The time of the first effect, in nanoseconds since the Unix epoch.
    pub(crate) first: u128,
    /// The time of the last effect, in nanoseconds since the Unix epoch.
    pub(crate) last: u128,
}

/// One task of a call.
#[derive(Clone, Debug)]
pub(crate) struct RecordedAttempt {
    pub(crate) id: TaskId,
    pub(crate) attempt: u32,
    /// True if the handler succeeded.
    pub(crate) ended: bool,
    /// True if the handler failed.
    pub(crate) failed: bool,
}

impl RecordedCall {
    /// Returns the resource of the call. Two calls of one resource must not overlap.
    pub(crate) fn resource(&self) -> &str {
        self.tasks.first().map_or("", |first| resource(&first.id))
    }

    /// Returns the attempt of a task in this call.
    pub(crate) fn attempt_of(&self, id: &TaskId) -> Option<&RecordedAttempt> {
        self.tasks.iter().find(|task| task.id == *id)
    }

    /// Returns whether the handler was interrupted: it neither succeeded nor failed.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.tasks.iter().all(|task| !task.ended && !task.failed)
    }
}

/// The content of a journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effects {
    /// The calls, ordered by their first effects.
    pub(crate) calls: Vec<RecordedCall>,
    /// The tasks that handlers created.
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
            let (Some(phase), Some(event), Some(Ok(number))) =
                (words.next(), words.next(), words.next().map(str::parse))
            else {
                continue;
            };
            if event == "created" {
                children.push(entry.id);
                continue;
            }
            let phase = if phase == "run" {
                Phase::Run
            } else {
                Phase::Cleanup
            };
            let call = calls.entry(number).or_insert_with(|| RecordedCall {
                process: entry.process,
                number,
                phase,
                tasks: Vec::new(),
                first: entry.nanos,
                last: entry.nanos,
            });
            call.last = entry.nanos;
            apply(call, event, entry);
        }
        let mut calls: Vec<_> = calls.into_values().collect();
        calls.sort_by_key(|call| call.first);
        Self { calls, children }
    }

    /// Returns the calls of each task, ordered by their first effects.
    pub(crate) fn by_task(&self) -> HashMap<&TaskId, Vec<&RecordedCall>> {
        let mut by_task: HashMap<_, Vec<_>> = HashMap::new();
        for call in &self.calls {
            for task in &call.tasks {
                by_task.entry(&task.id).or_default().push(call);
            }
        }
        by_task
    }
}

fn apply(call: &mut RecordedCall, event: &str, entry: Entry) {
    match event {
        "begin" => call.tasks.push(RecordedAttempt {
            id: entry.id,
            attempt: entry.attempt,
            ended: false,
            failed: false,
        }),
        "tick" => {}
        _ => {
            for task in call.tasks.iter_mut().filter(|task| task.id == entry.id) {
                task.ended |= event == "end";
                task.failed |= event == "fail";
            }
        }
    }
}
