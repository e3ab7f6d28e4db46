//! Creating tasks.

use std::collections::HashMap;

use super::codec::{MAX_DOCUMENT_BYTES, Marks, Stored, document_bytes, encode};
use super::operations::Operations;
use super::retry::Failure;
use super::writer::WriteOutcome;
use crate::store::Insert;
use crate::task::{LeaseToken, Task};

/// What of a document is kept free when a task is created: for its lease, its errors and its progress.
const ROOM_TO_LIVE: usize = 32 * 1024;

/// A task that is to be created.
struct Draft {
    name: String,
    task: Task,
    mark: LeaseToken,
}

impl Operations {
    pub(super) async fn create(&self, tasks: Vec<Task>) -> Result<Vec<Insert>, Failure> {
        let mut inserts: Vec<Option<Insert>> = vec![None; tasks.len()];
        let mut drafts: Vec<(usize, Draft)> = Vec::with_capacity(tasks.len());
        // For each name the first draft that has it.
        let mut first: HashMap<String, usize> = HashMap::new();
        let mut repeated = Vec::new();
        for (place, task) in tasks.into_iter().enumerate() {
            let draft = match self.draft(task) {
                Ok(draft) => draft,
                Err(reason) => {
                    inserts[place] = Some(Insert::Refused(reason));
                    continue;
                }
            };
            if let Some(earlier) = first.get(&draft.name) {
                let (earlier, draft) = &drafts[*earlier];
                repeated.push((place, *earlier, draft.task.clone()));
            } else {
                first.insert(draft.name.clone(), drafts.len());
                drafts.push((place, draft));
            }
        }
        self.create_drafts(&mut inserts, drafts).await?;
        for (place, earlier, task) in repeated {
            inserts[place] = match inserts[earlier].clone() {
                Some(Insert::New) => Some(Insert::Existing(Box::new(task))),
                other => other,
            };
        }
        let answered = inserts
            .into_iter()
            .map(|insert| insert.expect("every task has its answer"));
        Ok(answered.collect())
    }

    fn draft(&self, task: Task) -> Result<Draft, String> {
        let name = self.documents.name(task.id())?;
        let mark = LeaseToken::random();
        let bytes = document_bytes(&name, &encode(&task, &self.documents.env, &Marks::default()));
        if bytes + ROOM_TO_LIVE > MAX_DOCUMENT_BYTES {
            return Err(format!(
                "its document would have {bytes} bytes, and Firestore's limit is {MAX_DOCUMENT_BYTES}, of which \
                 {ROOM_TO_LIVE} are kept for what becomes of the task; store the data elsewhere and its address here"
            ));
        }
        Ok(Draft { name, task, mark })
    }

    async fn create_drafts(
        &self,
        inserts: &mut [Option<Insert>],
        mut drafts: Vec<(usize, Draft)>,
    ) -> Result<(), Failure> {
        while !drafts.is_empty() {
            let writes = drafts.iter().map(|(_, draft)| self.write_of(draft)).collect();
            let written = self.documents.writer.write(writes).await;
            let mut taken = Vec::new();
            let mut failure = None;
            for ((place, draft), written) in drafts.into_iter().zip(written) {
                match written {
                    WriteOutcome::Stored(_) => {
                        self.claims.announce_due(&draft.task);
                        inserts[place] = Some(Insert::New);
                    }
                    WriteOutcome::Refused { .. } => taken.push((place, draft)),
                    WriteOutcome::Failed(cause) => failure = Some(cause),
                }
            }
            if let Some(failure) = failure {
                return Err(failure);
            }
            drafts = self.look_at(inserts, taken).await?;
        }
        Ok(())
    }

    fn write_of(&self, draft: &Draft) -> super::proto::pb::Write {
        let marks = Marks {
            created: Some(draft.mark),
            finished: None,
        };
        self.documents
            .creation_of(draft.name.clone(), &draft.task, &marks)
    }

    /// Answers for the tasks whose names were taken, and returns those whose names are free by now.
    async fn look_at(
        &self,
        inserts: &mut [Option<Insert>],
        taken: Vec<(usize, Draft)>,
    ) -> Result<Vec<(usize, Draft)>, Failure> {
        let names: Vec<_> = taken.iter().map(|(_, draft)| draft.name.clone()).collect();
        let mut read = self.documents.read(&names).await?;
        let mut free = Vec::new();
        for (place, draft) in taken {
            match read.remove(&draft.name) {
                None => free.push((place, draft)),
                Some(Err(why)) => {
                    let name = &draft.name;
                    let reason = format!("its document `{name}` exists and is no task: {why}");
                    inserts[place] = Some(Insert::Refused(reason));
                }
                Some(Ok(stored)) => inserts[place] = Some(self.insert_of(&draft, stored)),
            }
        }
        Ok(free)
    }

    /// What the document says that has the name already.
    fn insert_of(&self, draft: &Draft, stored: Stored) -> Insert {
        // The reply to our own write was lost.
        if stored.marks.created == Some(draft.mark) {
            self.claims.announce_due(&draft.task);
            return Insert::New;
        }
        if stored.task.id() != draft.task.id() {
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
