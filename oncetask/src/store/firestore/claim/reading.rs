//! What is read of a queue at a time, and when.
//!
//! A query takes as long as several claims. While a backlog is worked off, what follows is read before the rest of
//! the window is used up, so that nobody waits for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::rivals::Rivals;
use super::window::Window;
use super::{Claims, Queue};
use crate::store::firestore::codec::Stored;
use crate::store::firestore::proto::{Message, pb};
use crate::store::firestore::queries;
use crate::store::firestore::query::DocumentQuery;
use crate::store::firestore::retry::Failure;

/// How many tasks are read at a time, at the most.
pub(super) const MOST: usize = 1024;
/// How many are read at first for each that there is room for.
const FIRST: usize = 4;
/// How much of tasks is kept in memory, as far as their number can be chosen by their usual size.
const MAX_BYTES: usize = 8 << 20;
/// What follows is read when the rest will last for less than so many times what the last query took.
const AHEAD: u32 = 2;

/// A part of a queue.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) tasks: Vec<Stored>,
    /// How many documents were read, with those that are no tasks.
    pub(super) read: usize,
    /// Where the queue goes on, if there may be more that is due.
    pub(super) behind: Option<Vec<pb::Value>>,
    pub(super) took: Duration,
}

/// A part that is being read.
pub(super) type Reading = JoinHandle<Result<Part, Failure>>;

/// How fast a part is used. Its first claim fills what room there was, and tells nothing of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// What its query took.
    took: Duration,
    since: Option<Instant>,
    /// How many tasks there were then.
    had: usize,
}

/// How many tasks of a queue to read at a time: as many as were used of the last window while it was fresh,
/// and more for as long as all are used. A read that serves no claim costs money; a query costs time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Appetite {
    pub(super) tasks: usize,
    /// Whether nothing is read ahead, as it was in vain the last time.
    pub(super) is_slow: bool,
    /// The usual size of a document.
    bytes: usize,
}

impl Pace {
    pub(super) fn of(took: Duration) -> Self {
        Self {
            took,
            since: None,
            had: 0,
        }
    }

    /// Notes that some were claimed. Returns whether what is left will not last for much longer than it takes to read
    /// more.
    pub(super) fn is_short(&mut self, left: usize) -> bool {
        let Some(since) = self.since else {
            self.since = Some(Instant::now());
            self.had = left;
            return false;
        };
        let used = self.had.saturating_sub(left);
        let [used, left] = [used, left].map(|tasks| u32::try_from(tasks).unwrap_or(u32::MAX));
        // One that is left, or none, is no proof of haste.
        let left = left.saturating_add(1);
        since.elapsed().saturating_mul(left) < self.took.saturating_mul(AHEAD).saturating_mul(used)
    }
}

impl Appetite {
    /// How many to read for this much room: one more at least, to know whether any are left.
    fn limit(self, room: usize, rivals: &Rivals) -> usize {
        let wanted = match self.tasks {
            // Nothing was read yet: a backlog costs few queries then, and what is not used is read once.
            0 => FIRST * (room + 1),
            used => used.max(room + 1),
        };
        let wanted = rivals.read(wanted, room).min(MOST);
        wanted.min((MAX_BYTES / self.bytes.max(1)).max(2))
    }

    /// Learns how large documents are.
    fn weigh(&mut self, documents: &[pb::Document]) {
        let bytes: usize = documents.iter().map(Message::encoded_len).sum();
        if let Some(usual) = bytes.checked_div(documents.len()) {
            self.bytes = usual;
        }
    }
}

impl Claims {
    /// Adds what follows in the queue.
    pub(super) async fn read_queue(
        &self,
        window: &mut Window,
        kinds: &[String],
        room: usize,
    ) -> Result<(), Failure> {
        if window.size > 0 {
            // All that was read is used, while it was fresh.
            self.state.shared().queue(kinds).appetite.is_slow = false;
        }
        let begun = match window.next.take() {
            // One that did not come to an end has read nothing.
            Some(reading) => reading.await.ok(),
            None => None,
        };
        let part = if let Some(part) = begun {
            part
        } else {
            let (find, limit) = self.what_follows(window, kinds, room);
            self.read_part(kinds, find, limit).await
        };
        window.add(part?);
        Ok(())
    }

    /// After a claim: begins to read what follows in the queue, if the window will soon be used up.
    pub(super) fn read_ahead(self: &Arc<Self>, window: &mut Window, kinds: &[String], room: usize) {
        let is_short = window.pace.is_short(window.tasks.len());
        if window.behind.is_none() || window.next.is_some() || window.is_used_up() {
            return;
        }
        {
            let mut shared = self.state.shared();
            let Queue { appetite, rivals, .. } = shared.queue(kinds);
            if appetite.is_slow || !rivals.read_ahead(is_short) {
                return;
            }
        }
        let (find, limit) = self.what_follows(window, kinds, room);
        let (inner, kinds) = (self.clone(), kinds.to_vec());
        let reading = tokio::spawn(async move { inner.read_part(&kinds, find, limit).await });
        window.next = Some(reading);
    }

    fn what_follows(&self, window: &Window, kinds: &[String], room: usize) -> (DocumentQuery, usize) {
        let mut shared = self.state.shared();
        let Queue { appetite, rivals, .. } = shared.queue(kinds);
        if window.size > 0 {
            // All that was read is used, or will be soon.
            let of_use = window.size.saturating_sub(window.left_out).min(MOST);
            appetite.tasks = appetite.tasks.max(2 * of_use);
        }
        let limit = appetite.limit(room, rivals);
        let find = queries::due(&self.documents.env, kinds, window.as_of);
        (find.start_after(window.behind.clone()).limit(limit), limit)
    }

    async fn read_part(&self, kinds: &[String], find: DocumentQuery, limit: usize) -> Result<Part, Failure> {
        let began = Instant::now();
        let documents = self.documents.query(&find).await?;
        {
            let mut shared = self.state.shared();
            let queue = shared.queue(kinds);
            queue.appetite.weigh(&documents);
            queue.rivals.look_took(began.elapsed());
        }
        let read = documents.len();
        let last = documents.last().filter(|_| read == limit);
        let behind = last.map(|last| find.position_of(last));
        let tasks = documents
            .into_iter()
            .filter_map(|document| self.documents.decode_or_warn(document));
        let mut tasks: Vec<_> = tasks.collect();
        tasks.sort_by_key(|stored| (stored.task.state.due(), stored.task.spec.created_at));
        Ok(Part {
            tasks,
            read,
            behind,
            took: began.elapsed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_is_read_when_the_rest_will_not_last() {
        let is_short = |millis, left| {
            let since = Instant::now().checked_sub(Duration::from_millis(millis));
            let mut pace = Pace {
                took: Duration::from_millis(100),
                since: Some(since.expect("an instant")),
                had: 1000,
            };
            pace.is_short(left)
        };
        assert!(!is_short(10, 1000), "nothing is used yet");
        assert!(!is_short(1000, 500), "a second is left");
        assert!(is_short(1000, 150), "less than 0.2 s is left");
        assert!(!is_short(60_000, 5), "0.3 s is left");
        assert!(!is_short(300_000, 0), "it took long to use all of it");
    }

    #[test]
    fn the_first_claim_tells_nothing_of_the_pace() {
        let mut pace = Pace::of(Duration::from_hours(1));
        assert!(!pace.is_short(10));
        assert!(pace.is_short(9));
        assert!(pace.is_short(0));
    }
}
