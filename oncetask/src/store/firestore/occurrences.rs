//! A generator's occurrences and its own advance, in one atomic write.

use super::codec::Marks;
use super::operations::Operations;
use super::proto::{Code, Message, Timestamp, pb, target};
use super::retry::Failure;
use super::writer::{MAX_REQUEST_BYTES, WriteOutcome};
use crate::task::{LeaseToken, Task};

/// How many writes one atomic request holds at the most.
const MAX_WRITES: usize = 400;

pub(super) enum Spawned {
    Stored(Timestamp),
    /// The generator was not in the state that the write demanded, unless it was this write that changed it.
    Refused {
        ambiguous: bool,
    },
}

impl Operations {
    /// Writes the generator's advance and creates the occurrences that do not exist.
    ///
    /// More occurrences than one request holds are created before: if the worker dies then, the next one
    /// finds them there.
    pub(super) async fn spawn(&self, advance: pb::Write, spawn: &[Task]) -> Result<Spawned, Failure> {
        let mut occurrences = self.occurrences(spawn);
        let early = occurrences.len() - fitting(&advance, &occurrences);
        for written in self
            .documents
            .writer
            .write(occurrences.drain(..early).collect())
            .await
        {
            if let WriteOutcome::Failed(failure) = written {
                return Err(failure);
            }
        }
        let mut ambiguous = false;
        loop {
            let mut writes = vec![advance.clone()];
            writes.extend_from_slice(&occurrences);
            match self.documents.rpc.commit(&writes).await {
                Ok(reply) => {
                    self.documents.rpc.meter.wrote(writes.len());
                    let at = reply.value.into_iter().next().unwrap_or_default();
                    return Ok(Spawned::Stored(at));
                }
                Err(failure) if failure.code == Code::AlreadyExists => {
                    ambiguous |= failure.ambiguous;
                    if !self.drop_existing(&mut occurrences).await? {
                        // Nothing of ours is in the way any more: it was deleted meanwhile, or the server
                        // means the generator.
                        return Ok(Spawned::Refused { ambiguous });
                    }
                }
                Err(failure) if matches!(failure.code, Code::FailedPrecondition | Code::NotFound) => {
                    self.documents.rpc.meter.refused();
                    let ambiguous = ambiguous || failure.ambiguous;
                    return Ok(Spawned::Refused { ambiguous });
                }
                Err(mut failure) => {
                    failure.ambiguous |= ambiguous;
                    return Err(failure);
                }
            }
        }
    }

    /// The writes that create the occurrences. One that cannot be a document is left out, with a warning.
    fn occurrences(&self, spawn: &[Task]) -> Vec<pb::Write> {
        let creation = |task: &Task| match self.documents.name(task.id()) {
            Ok(name) => {
                let marks = Marks {
                    created: Some(LeaseToken::random()),
                    finished: None,
                };
                Some(self.documents.creation_of(name, task, &marks))
            }
            Err(reason) => {
                tracing::warn!(task = %task.id(), "an occurrence cannot be stored: {reason}");
                None
            }
        };
        spawn.iter().filter_map(creation).collect()
    }

    /// Takes out those that exist by now. Returns whether there were any.
    async fn drop_existing(&self, occurrences: &mut Vec<pb::Write>) -> Result<bool, Failure> {
        let names: Vec<_> = occurrences.iter().map(|write| target(write).to_owned()).collect();
        let existing = self.documents.read(&names).await?;
        let before = occurrences.len();
        occurrences.retain(|write| !existing.contains_key(target(write)));
        Ok(occurrences.len() < before)
    }
}

/// How many of the occurrences, from the last, one request holds beside the advance.
fn fitting(advance: &pb::Write, occurrences: &[pb::Write]) -> usize {
    let mut bytes = advance.encoded_len();
    let fits = |write: &&pb::Write| {
        bytes += write.encoded_len();
        bytes <= MAX_REQUEST_BYTES
    };
    occurrences.iter().rev().take(MAX_WRITES).take_while(fits).count()
}
