//! Claims of generators only: by a worker that has no room for other tasks, whose queue it does not touch.

use chrono::SubsecRound as _;

use super::outlook::earliest;
use super::pick::Pick;
use super::turn::Turn;
use crate::store::firestore::codec::Stored;
use crate::store::firestore::queries;
use crate::store::firestore::retry::Failure;
use crate::task::transition;

/// How many generators are read at first, which for most handlers shows that there is none, and then at a time.
const READ: (usize, usize) = (2, 32);

impl Turn<'_> {
    /// Reads generators, those that are held among them, until one waits: that tells when to look again, too.
    pub(super) async fn fill_with_generators(&mut self) -> Result<(), Failure> {
        let inner = self.inner;
        let generators = queries::generators(&inner.documents.env, &self.demand.kinds);
        let (mut limit, more) = READ;
        let (mut behind, mut left) = (None, self.room() > 0);
        while left {
            let documents = inner
                .documents
                .query(&generators.clone().start_after(behind).limit(limit))
                .await?;
            let next = documents.last().filter(|_| documents.len() == limit);
            behind = next.map(|last| generators.position_of(last));
            let found: Vec<_> = documents
                .into_iter()
                .filter_map(|document| inner.documents.decode_or_warn(document))
                .collect();
            // Within a second the order is one of spelling.
            let last = found
                .last()
                .map(|last| last.task.state.wait_until.trunc_subsecs(0));
            let lost = self.take_turns_of(found).await?;
            if lost > 0 || self.room() == 0 {
                self.taken.next_due = Some(self.now);
                self.taken.drained = false;
                break;
            }
            left = behind.is_some() && last.is_none_or(|last| last <= self.now);
            let beyond = last.filter(|_| behind.is_some() && !left);
            self.taken.next_due = earliest(self.taken.next_due, beyond);
            limit = more;
        }
        Ok(())
    }

    /// Claims those that are due, and notes when the others will be. Returns with how many others were faster.
    async fn take_turns_of(&mut self, generators: Vec<Stored>) -> Result<usize, Failure> {
        let is_due = |stored: &Stored| transition::is_due(&stored.task.state, self.now);
        let (mut due, later): (Vec<_>, Vec<_>) = generators.into_iter().partition(is_due);
        let next = later.iter().filter_map(|stored| stored.task.state.due()).min();
        self.taken.next_due = earliest(self.taken.next_due, next);
        due.truncate(self.room());
        let leased = self
            .lease(due.into_iter().map(|stored| Pick::alone(None, stored)).collect())
            .await;
        self.taken.claims.extend(leased.claims);
        leased.failure.map_or(Ok(leased.lost), Err)
    }
}
