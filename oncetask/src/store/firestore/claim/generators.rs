//! Claims of generators only: by a worker that has no room for other tasks, whose queue it does not touch.

use super::outlook::earliest;
use super::pick::Pick;
use super::turn::Turn;
use crate::store::firestore::queries;
use crate::store::firestore::retry::Failure;
use crate::task::transition;

impl Turn<'_> {
    pub(super) async fn fill_with_generators(&mut self) -> Result<(), Failure> {
        let room = self.room();
        let left = room == 0 || self.claim_generators(room).await?;
        self.taken.drained = !left;
        let next = if left {
            Some(self.now)
        } else {
            self.next_generator().await?
        };
        self.taken.next_due = earliest(self.taken.next_due, next);
        Ok(())
    }

    /// Claims what is due, and returns whether there may be more.
    async fn claim_generators(&mut self, room: usize) -> Result<bool, Failure> {
        let find = queries::generators(queries::due(&self.inner.env, &self.want.kinds, self.now));
        let (found, read) = self.inner.find(&find.limit(room)).await?;
        let (due, soon): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|stored| transition::is_due(&stored.task.state, self.now));
        self.taken.next_due = soon.iter().filter_map(|stored| stored.task.state.due()).min();
        let picks = due.into_iter().map(|stored| Pick::alone(None, stored)).collect();
        let leased = self.lease(picks).await;
        self.taken.claims.extend(leased.claims);
        match leased.failure {
            Some(failure) => Err(failure),
            None => Ok(read == room),
        }
    }

    /// When the next generator is due, or any lease of its kind ends.
    async fn next_generator(&self) -> Result<Option<chrono::DateTime<chrono::Utc>>, Failure> {
        let (inner, kinds) = (self.inner, &self.want.kinds);
        let waiting = queries::generators(queries::waiting(&inner.env, kinds, self.now));
        let (waiting, lease) = tokio::join!(
            inner.first_waiting(&waiting, self.now),
            inner.first_lease(kinds, self.now)
        );
        Ok(earliest(waiting?, lease?))
    }
}
