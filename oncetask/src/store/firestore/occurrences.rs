//! The occurrences of a generator, created in the same atomic write as the generator's advance.

use super::codec::Marks;
use super::operations::Operations;
use super::proto::{Code, Message, pb, target};
use super::retry::Failure;
use super::writer::{MAX_REQUEST_BYTES, WriteOutcome};
use crate::task::{LeaseToken, Task};

/// The maximum number of occurrences in one atomic request.
const MAX_OCCURRENCES: usize = 400;

impl Operations {
    /// Writes a generator's advance, and creates the occurrences that do not exist.
    ///
    /// Occurrences that do not fit into one request are created before it. If the worker crashes then, the worker
    /// that repeats the advance finds them.
    pub(super) async fn write_with_occurrences(
        &self,
        advance: pb::Write,
        occurrences: &[Task],
    ) -> WriteOutcome {
        let written = self.try_to_write(advance, occurrences).await;
        written.unwrap_or_else(WriteOutcome::Failed)
    }

    async fn try_to_write(&self, advance: pb::Write, occurrences: &[Task]) -> Result<WriteOutcome, Failure> {
        let mut creations = self.creations_of(occurrences);
        let early = creations.len() - fitting(&advance, &creations);
        let early = creations.drain(..early).collect();
        for outcome in self.documents.writer.write(early).await {
            if let WriteOutcome::Failed(failure) = outcome {
                return Err(failure);
            }
        }
        let mut ambiguous = false;
        loop {
            let mut writes = vec![advance.clone()];
            writes.extend_from_slice(&creations);
            match self.documents.rpc.commit(&writes).await {
                Ok(response) => {
                    self.documents.rpc.meter.wrote(writes.len());
                    let update_time = response.value.into_iter().next().unwrap_or_default();
                    return Ok(WriteOutcome::Stored(update_time));
                }
                Err(failure) if failure.code == Code::AlreadyExists => {
                    ambiguous |= failure.ambiguous;
                    if !self.remove_existing(&mut creations).await? {
                        // No occurrence exists: the one in question was deleted in the meantime, or the server
                        // means the generator.
                        return Ok(WriteOutcome::Refused { ambiguous });
                    }
                }
                Err(failure) if matches!(failure.code, Code::FailedPrecondition | Code::NotFound) => {
                    self.documents.rpc.meter.refused();
                    let ambiguous = ambiguous || failure.ambiguous;
                    return Ok(WriteOutcome::Refused { ambiguous });
                }
                Err(mut failure) => {
                    failure.ambiguous |= ambiguous;
                    return Err(failure);
                }
            }
        }
    }

    /// Returns the writes that create the occurrences. An occurrence whose id cannot name a document is left out,
    /// and logged.
    fn creations_of(&self, occurrences: &[Task]) -> Vec<pb::Write> {
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
        occurrences.iter().filter_map(creation).collect()
    }

    /// Removes the writes whose documents exist by now. Returns whether there were any.
    async fn remove_existing(&self, creations: &mut Vec<pb::Write>) -> Result<bool, Failure> {
        let names: Vec<_> = creations.iter().map(|write| target(write).to_owned()).collect();
        let existing = self.documents.read(&names).await?;
        let before = creations.len();
        creations.retain(|write| !existing.contains_key(target(write)));
        Ok(creations.len() < before)
    }
}

/// Returns the number of creations, counted from the last, that fit into one request with the advance.
fn fitting(advance: &pb::Write, creations: &[pb::Write]) -> usize {
    let mut bytes = advance.encoded_len();
    let fits = |write: &&pb::Write| {
        bytes += write.encoded_len();
        bytes <= MAX_REQUEST_BYTES
    };
    creations
        .iter()
        .rev()
        .take(MAX_OCCURRENCES)
        .take_while(fits)
        .count()
}
