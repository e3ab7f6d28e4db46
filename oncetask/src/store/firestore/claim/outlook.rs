//! When the next task will be due.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::Claims;
use crate::store::firestore::listen::Next;
use crate::store::firestore::queries;
use crate::store::firestore::query::{DocumentQuery, MAX_IN};
use crate::store::firestore::retry::Failure;
use crate::task::transition;

/// How many tasks are read to find the first that waits: at first, and when those of this second are in
/// the way.
const FIRST: [usize; 2] = [1, 64];

/// When the next lease ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outlook {
    ends: Option<DateTime<Utc>>,
    read: Instant,
}

pub(super) fn earliest(a: Option<DateTime<Utc>>, b: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

impl Claims {
    /// When the next of these tasks is due, if none is now: the first that waits, or the first lease to end.
    async fn outlook(&self, kinds: &[String], now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Failure> {
        let waiting = async {
            match self.listener.next_due(kinds, now) {
                Next::At(due) => Ok(Some(due)),
                Next::Never => Ok(None),
                Next::Unknown => {
                    let waiting = queries::waiting(&self.documents.env, kinds, now);
                    self.first_waiting(&waiting, now).await
                }
            }
        };
        let (waiting, lease) = tokio::join!(waiting, self.first_lease(kinds, now));
        Ok(earliest(waiting?, lease?))
    }

    /// The first of what this finds that is not due now and that nobody holds.
    pub(super) async fn first_waiting(
        &self,
        waiting: &DocumentQuery,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Failure> {
        for limit in FIRST {
            let (found, read) = self.documents.query_tasks(&waiting.clone().limit(limit)).await?;
            let mut free = found.iter().filter(|stored| stored.task.state.lease.is_none());
            let first = free.find(|stored| !transition::is_due(&stored.task.state, now));
            if first.is_some() || read < limit {
                return Ok(first.and_then(|stored| stored.task.state.due()));
            }
        }
        // This second's tasks go on and on: the caller looks again at once.
        Ok(Some(now))
    }

    pub(super) async fn first_lease(
        &self,
        kinds: &[String],
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Failure> {
        match self.known_lease(kinds, now) {
            Next::At(ends) => Ok(Some(ends)),
            Next::Never => Ok(None),
            Next::Unknown => self.read_lease(kinds, now).await,
        }
    }

    async fn read_lease(
        &self,
        kinds: &[String],
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Failure> {
        let find = queries::leased(&self.documents.env, kinds, now).limit(1);
        let (found, _) = self.documents.query_tasks(&find).await?;
        let ends = found.first().and_then(|stored| stored.task.state.due());
        let read = Instant::now();
        let outlook = Outlook { ends, read };
        self.state.shared().outlooks.insert(kinds.to_vec(), outlook);
        Ok(ends)
    }

    /// When the next of the tasks of all these kinds is due. Asked for many handlers of a worker at once it is
    /// too early for some of them, which is no harm: they look, and ask again.
    pub(super) async fn outlook_for_all(
        &self,
        kinds: &[String],
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Failure> {
        let mut next = None;
        for kinds in kinds.chunks(MAX_IN) {
            next = earliest(next, self.outlook(kinds, now).await?);
        }
        Ok(next)
    }

    /// When the next lease ends, if that was read not long ago. While nobody listens it is read each time.
    fn known_lease(&self, kinds: &[String], now: DateTime<Utc>) -> Next {
        if !self.listener.is_listening() {
            return Next::Unknown;
        }
        let shared = self.state.shared();
        let mut outlooks = shared.outlooks.iter();
        let covers = |of: &[String]| kinds.iter().all(|kind| of.contains(kind));
        let is_of_use = |outlook: &Outlook| {
            let is_ahead = outlook.ends.is_none_or(|ends| ends > now);
            is_ahead && outlook.read.elapsed() < self.documents.settings.poll_every
        };
        let known = outlooks.find(|(of, outlook)| covers(of) && is_of_use(outlook));
        known.map_or(Next::Unknown, |(_, outlook)| Next::known(outlook.ends))
    }
}
