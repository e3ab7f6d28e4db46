//! The due time of the next task that is not due yet.
//!
//! It is the earlier of two instants: the due time of the first waiting task, and the end of the lease that expires
//! first. A query reads each, and both queries can often be saved:
//!
//! - While a listener follows the queue, it knows the first waiting task, and notifies the worker when that
//!   changes.
//! - The first lease end is cached for `poll_every`. A lease that another process takes later and that expires
//!   earlier is missed for at most that long.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::Claims;
use crate::store::firestore::listen::Next;
use crate::store::firestore::queries;
use crate::store::firestore::query::{DocumentQuery, MAX_IN};
use crate::store::firestore::retry::Failure;
use crate::task::transition;

/// The limits of the queries for the first waiting task. One task is usually enough. The second query reads past the
/// tasks of the current second that are due already.
const WAITING_LIMITS: [usize; 2] = [1, 64];

/// The end of the lease that expires first, as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseEnd {
    /// `None` if there was no lease.
    at: Option<DateTime<Utc>>,
    read: Instant,
}

/// Returns the earlier of two instants, of which each may be absent.
pub(super) fn earliest(a: Option<DateTime<Utc>>, b: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

impl Claims {
    /// Returns the due time of the next task of these kinds that is not due now.
    ///
    /// The demands of a request may ask for all their kinds together, which saves two queries for each demand. The
    /// result is then too early for some of them. That is safe: such a worker finds no task, and asks again.
    pub(super) async fn next_due(
        &self,
        kinds: &[String],
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Failure> {
        let mut next = None;
        for kinds in kinds.chunks(MAX_IN) {
            next = earliest(next, self.next_due_of_chunk(kinds, now).await?);
        }
        Ok(next)
    }

    /// Returns the next due time of at most [`MAX_IN`] kinds.
    async fn next_due_of_chunk(
        &self,
        kinds: &[String],
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Failure> {
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
        let (waiting, lease_end) = tokio::join!(waiting, self.first_lease_end(kinds, now));
        Ok(earliest(waiting?, lease_end?))
    }

    /// Reads the due time of the first task that this query finds, that is not due now and that has no lease.
    async fn first_waiting(
        &self,
        waiting: &DocumentQuery,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Failure> {
        for limit in WAITING_LIMITS {
            let (found, read) = self.documents.query_tasks(&waiting.clone().limit(limit)).await?;
            let mut free = found.iter().filter(|stored| stored.task.state.lease.is_none());
            let first = free.find(|stored| !transition::is_due(&stored.task.state, now));
            if first.is_some() || read < limit {
                return Ok(first.and_then(|stored| stored.task.state.due()));
            }
        }
        // More tasks than the last limit are leased or due already: the caller claims again at once.
        Ok(Some(now))
    }

    /// Returns the end of the lease that expires first, from the cache if possible.
    async fn first_lease_end(
        &self,
        kinds: &[String],
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Failure> {
        match self.cached_lease_end(kinds, now) {
            Next::At(end) => Ok(Some(end)),
            Next::Never => Ok(None),
            Next::Unknown => self.read_lease_end(kinds, now).await,
        }
    }

    async fn read_lease_end(
        &self,
        kinds: &[String],
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Failure> {
        let query = queries::leased(&self.documents.env, kinds, now).limit(1);
        let (found, _) = self.documents.query_tasks(&query).await?;
        let at = found.first().and_then(|stored| stored.task.state.due());
        let read = Instant::now();
        let lease_end = LeaseEnd { at, read };
        self.state.shared().lease_ends.insert(kinds.to_vec(), lease_end);
        Ok(at)
    }

    /// Returns the end of the lease that expires first if it was read within `poll_every`. The cache is used only
    /// while a listener follows the queue.
    fn cached_lease_end(&self, kinds: &[String], now: DateTime<Utc>) -> Next {
        if !self.listener.is_listening() {
            return Next::Unknown;
        }
        let shared = self.state.shared();
        let mut lease_ends = shared.lease_ends.iter();
        let covers = |of: &[String]| kinds.iter().all(|kind| of.contains(kind));
        let is_usable = |lease_end: &LeaseEnd| {
            let is_ahead = lease_end.at.is_none_or(|at| at > now);
            is_ahead && lease_end.read.elapsed() < self.documents.settings.poll_every
        };
        let cached = lease_ends.find(|(of, lease_end)| covers(of) && is_usable(lease_end));
        cached.map_or(Next::Unknown, |(_, lease_end)| Next::known(lease_end.at))
    }
}
