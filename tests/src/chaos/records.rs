//! The stored tasks at the end of an episode.

use std::collections::HashMap;

use oncetask::{Client, Error, Filter, OnceTask as _, Task, TaskId};

use super::producer::Ledger;
use super::work::Ticker;

/// The maximum number of tasks that are read in one call.
pub(super) const MAX_READ: usize = 100;

/// The stored tasks.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) tasks: HashMap<TaskId, Task>,
    /// The occurrences of each generator.
    pub(crate) occurrences: HashMap<TaskId, Vec<Task>>,
}

impl Records {
    /// Reads the tasks of the ledger, the tasks that handlers created, and all occurrences.
    pub(crate) async fn read(client: &Client, ledger: &Ledger, children: &[TaskId]) -> Result<Self, Error> {
        let mut records = Self::default();
        let known = ledger.all();
        let ids: Vec<_> = known.keys().chain(children).collect();
        for chunk in ids.chunks(MAX_READ) {
            let tasks = client.get_many(chunk.iter().copied()).await?;
            let tasks = tasks.into_iter().flatten();
            records.tasks.extend(tasks.map(|task| (task.id().clone(), task)));
        }
        for task in client.list(Filter::new().kind(Ticker::KIND)).all().await? {
            if let Some(occurrence) = &task.spec.occurrence {
                let generator = occurrence.generator.clone();
                records.occurrences.entry(generator).or_default().push(task);
            }
        }
        Ok(records)
    }

    fn all(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().chain(self.occurrences.values().flatten())
    }
}

/// Returns whether every stored task has ended.
pub(crate) async fn have_ended(client: &Client, ledger: &Ledger, children: &[TaskId]) -> Result<bool, Error> {
    let records = Records::read(client, ledger, children).await?;
    Ok(records.all().all(Task::is_done))
}
