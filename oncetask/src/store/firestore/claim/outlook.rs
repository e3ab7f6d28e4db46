//! When the next task will be due.

use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::store::firestore::inner::Inner;
use crate::store::firestore::queries;
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

pub(in crate::store::firestore) fn earliest(
    a: Option<DateTime<Utc>>,
    b: Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

impl Inner {
    /// When the next of these tasks is due, if none is now: the first that waits, or the first lease to end.
    pub(super) async fn outlook(
        &self,
        kinds: &[String],
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Failure> {
        let waiting = match self.ears.head(self, kinds, now) {
            Some(known) => known,
            None => self.first_waiting(kinds, now).await?,
        };
        Ok(earliest(waiting, self.first_lease(kinds, now).await?))
    }

    async fn first_waiting(
        &self,
        kinds: &[String],
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Failure> {
        for limit in FIRST {
            let find = queries::waiting(&self.env, kinds, now).limit(limit);
            let (found, read) = self.find(&find).await?;
            let free = found.iter().filter(|stored| stored.task.state.lease.is_none());
            let first = free
                .filter(|stored| !transition::is_due(&stored.task.state, now))
                .next();
            if first.is_some() || read < limit {
                return Ok(first.and_then(|stored| stored.task.state.due()));
            }
        }
        // This second's tasks go on and on: the caller looks again at once.
        Ok(Some(now))
    }

    async fn first_lease(
        &self,
        kinds: &[String],
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Failure> {
        if let Some(known) = self.known_lease(kinds, now) {
            return Ok(known);
        }
        let find = queries::leased(&self.env, kinds, now).limit(1);
        let (found, _) = self.find(&find).await?;
        let ends = found.first().and_then(|stored| stored.task.state.due());
        let outlook = Outlook {
            ends,
            read: Instant::now(),
        };
        self.desk.shared().outlooks.insert(kinds.to_vec(), outlook);
        Ok(ends)
    }

    /// When the next lease ends, if that was read not long ago. While nobody listens it is read each time.
    fn known_lease(&self, kinds: &[String], now: DateTime<Utc>) -> Option<Option<DateTime<Utc>>> {
        let outlook = *self.desk.shared().outlooks.get(kinds)?;
        let is_ahead = outlook.ends.is_none_or(|ends| ends > now);
        let is_fresh = outlook.read.elapsed() < self.settings.poll_every;
        (self.ears.are_open() && is_ahead && is_fresh).then_some(outlook.ends)
    }
}
