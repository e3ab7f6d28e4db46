//! Creating tasks.

use std::collections::HashMap;

use super::codec::{MAX_DOCUMENT_BYTES, Marks, Stored, document_bytes, encode};
use super::operations::Operations;
use super::proto::pb;
use super::retry::Failure;
use super::writer::WriteOutcome;
use crate::store::Insert;
use crate::task::{LeaseToken, Task};

/// The number of bytes of a new document that are reserved for its lease, its errors and its progress.
const RESERVED_BYTES: usize = 32 * 1024;

/// A task to create.
struct NewTask {
    /// The index of the task in the call.
    index: usize,
    /// The name of its document.
    name: String,
    task: Task,
    /// A token by which the store recognises its own write if the answer to it was lost.
    token: LeaseToken,
}

impl Operations {
    pub(super) async fn create(&self, tasks: Vec<Task>) -> Result<Vec<Insert>, Failure> {
        let mut inserts: Vec<Option<Insert>> = vec![None; tasks.len()];
        let mut new: Vec<NewTask> = Vec::with_capacity(tasks.len());
        let mut first_with_name: HashMap<String, usize> = HashMap::new();
        let mut repeated = Vec::new();
        for (index, task) in tasks.into_iter().enumerate() {
            let task = match self.new_task(index, task) {
                Ok(task) => task,
                Err(reason) => {
                    inserts[index] = Some(Insert::Refused(reason));
                    continue;
                }
            };
            if let Some(first) = first_with_name.get(&task.name) {
                let first = &new[*first];
                repeated.push((index, first.index, first.task.clone()));
            } else {
                first_with_name.insert(task.name.clone(), new.len());
                new.push(task);
            }
        }
        self.create_new(&mut inserts, new).await?;
        for (index, first, task) in repeated {
            inserts[index] = match inserts[first].clone() {
                Some(Insert::New) => Some(Insert::Existing(Box::new(task))),
                other => other,
            };
        }
        let answered = inserts
            .into_iter()
            .map(|insert| insert.expect("every task has an answer"));
        Ok(answered.collect())
    }

    /// Returns the task to create.
    ///
    /// # Errors
    ///
    /// Returns the reason if Firestore cannot store the task.
    fn new_task(&self, index: usize, task: Task) -> Result<NewTask, String> {
        let name = self.documents.name(task.id())?;
        let fields = encode(&task, &self.documents.env, &Marks::default());
        let bytes = document_bytes(&name, &fields);
        if bytes + RESERVED_BYTES > MAX_DOCUMENT_BYTES {
            return Err(format!(
                "its document would have {bytes} bytes, and Firestore's limit is {MAX_DOCUMENT_BYTES} bytes, of \
                 which {RESERVED_BYTES} are reserved for the task's lease, errors and progress; store the data \
                 elsewhere and its address in the task"
            ));
        }
        Ok(NewTask {
            index,
            name,
            task,
            token: LeaseToken::random(),
        })
    }

    /// Creates the tasks. Tries again with those whose names were taken and have become free.
    async fn create_new(&self, inserts: &mut [Option<Insert>], mut new: Vec<NewTask>) -> Result<(), Failure> {
        while !new.is_empty() {
            let writes = new.iter().map(|task| self.creation(task)).collect();
            let outcomes = self.documents.writer.write(writes).await;
            let mut taken = Vec::new();
            let mut failure = None;
            for (new, outcome) in new.into_iter().zip(outcomes) {
                match outcome {
                    WriteOutcome::Stored(_) => {
                        self.claims.announce_due(&new.task);
                        inserts[new.index] = Some(Insert::New);
                    }
                    WriteOutcome::Refused { .. } => taken.push(new),
                    WriteOutcome::Failed(cause) => failure = Some(cause),
                }
            }
            if let Some(failure) = failure {
                return Err(failure);
            }
            new = self.answer_taken(inserts, taken).await?;
        }
        Ok(())
    }

    fn creation(&self, new: &NewTask) -> pb::Write {
        let marks = Marks {
            created: Some(new.token),
            finished: None,
        };
        self.documents.creation_of(new.name.clone(), &new.task, &marks)
    }

    /// Sets the results of the tasks whose names were taken. Returns the tasks whose names have become free.
    async fn answer_taken(
        &self,
        inserts: &mut [Option<Insert>],
        taken: Vec<NewTask>,
    ) -> Result<Vec<NewTask>, Failure> {
        let names: Vec<_> = taken.iter().map(|new| new.name.clone()).collect();
        let mut read = self.documents.read(&names).await?;
        let mut free = Vec::new();
        for new in taken {
            match read.remove(&new.name) {
                None => free.push(new),
                Some(Err(reason)) => {
                    let name = &new.name;
                    let reason = format!(
                        "its document `{name}` exists and cannot be decoded as a task: {reason}; repair or delete \
                         the document"
                    );
                    inserts[new.index] = Some(Insert::Refused(reason));
                }
                Some(Ok(stored)) => inserts[new.index] = Some(self.answer_existing(&new, stored)),
            }
        }
        Ok(free)
    }

    /// Returns the result for a task whose document exists already.
    fn answer_existing(&self, new: &NewTask, stored: Stored) -> Insert {
        // The answer to our own write was lost.
        if stored.marks.created == Some(new.token) {
            self.claims.announce_due(&new.task);
            return Insert::New;
        }
        if stored.task.id() != new.task.id() {
            return Insert::Refused(format!(
                "its document `{}` belongs to the task `{}`: with shared ids the two cannot both be stored",
                stored.name,
                stored.task.id()
            ));
        }
        if stored.env != self.documents.env {
            return Insert::Refused(format!(
                "its id belongs to a task of the environment `{}`: with shared ids an id is one task in all \
                 environments of a collection",
                stored.env
            ));
        }
        Insert::Existing(Box::new(stored.task))
    }
}
