//! Pages of a queue: how many tasks a query reads, and when it is sent.
//!
//! Two optimisations are here. Neither affects which claims succeed.
//!
//! - *Page size.* A page is as large as the number of tasks that claims used of the last page, and doubles while all
//!   of a page is used. This saves reads that serve no claim, which cost money, and queries during a backlog, which
//!   cost time.
//! - *Read-ahead.* A query takes as long as several claims. During a backlog the next page is read before the window
//!   is used up, so that no claim waits for it. A task that another process claims in the meantime costs a refused
//!   write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::contention::Contention;
use super::window::Window;
use super::{Claims, QueueState};
use crate::store::firestore::codec::Stored;
use crate::store::firestore::proto::{Message, pb};
use crate::store::firestore::queries;
use crate::store::firestore::query::DocumentQuery;
use crate::store::firestore::retry::Failure;

/// The maximum number of tasks that a query reads.
pub(super) const MAX_PAGE: usize = 1024;
/// The number of tasks that the first query reads for each free slot.
const FIRST_PAGE_PER_SLOT: usize = 4;
/// The size in bytes that a page should not exceed. It limits the number of tasks by their average size.
const MAX_PAGE_BYTES: usize = 8 << 20;
/// The next page is read when the window will last for less than this multiple of the duration of a query.
const READ_AHEAD_FACTOR: u32 = 2;

/// A page of a queue.
#[derive(Debug)]
pub(super) struct QueuePage {
    pub(super) tasks: Vec<Stored>,
    /// The number of documents that were read, damaged records included.
    pub(super) read: usize,
    /// The position after the last document, if more tasks may be due.
    pub(super) cursor: Option<Vec<pb::Value>>,
    /// The duration of the query.
    pub(super) duration: Duration,
}

/// A page that is being read.
pub(super) type PageRead = JoinHandle<Result<QueuePage, Failure>>;

/// The rate at which claims consume the window. It is measured from the end of the first claim on, because the first
/// claim fills all free slots and says nothing about the rate at which slots become free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Consumption {
    /// The duration of the window's last query.
    query: Duration,
    since: Option<Instant>,
    /// The number of tasks in the window at `since`.
    at_start: usize,
}

/// The number of tasks that a query reads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PageSize {
    /// The number of tasks to read; 0 before the first use of a page.
    pub(super) tasks: usize,
    /// True if nothing is read ahead, because the last page that was read ahead was not used.
    pub(super) no_read_ahead: bool,
    /// The average size of a document in bytes.
    bytes: usize,
}

impl Consumption {
    pub(super) fn new(query: Duration) -> Self {
        Self {
            query,
            since: None,
            at_start: 0,
        }
    }

    /// Records the number of tasks that a claim left. Returns whether they will be used up soon: within
    /// [`READ_AHEAD_FACTOR`] times the duration of a query.
    pub(super) fn runs_short(&mut self, left: usize) -> bool {
        let Some(since) = self.since else {
            self.since = Some(Instant::now());
            self.at_start = left;
            return false;
        };
        let used = self.at_start.saturating_sub(left);
        let [used, left] = [used, left].map(|tasks| u32::try_from(tasks).unwrap_or(u32::MAX));
        // Counts one task more, because a window with one task or none may still have lasted for a long time.
        let left = left.saturating_add(1);
        let limit = self.query.saturating_mul(READ_AHEAD_FACTOR);
        since.elapsed().saturating_mul(left) < limit.saturating_mul(used)
    }
}

impl PageSize {
    /// Returns the number of tasks to read for this many free slots. Within the limits of a page it is at least one
    /// more, which shows whether any tasks are left.
    fn limit(self, slots: usize, contention: &Contention) -> usize {
        let wanted = match self.tasks {
            // A large first page saves queries if there is a backlog. Otherwise it reads too much only once.
            0 => FIRST_PAGE_PER_SLOT * (slots + 1),
            tasks => tasks.max(slots + 1),
        };
        let wanted = contention.page_size(wanted, slots).min(MAX_PAGE);
        wanted.min((MAX_PAGE_BYTES / self.bytes.max(1)).max(2))
    }

    /// Doubles the page size after a window that was used up, given the number of its tasks.
    fn grow(&mut self, used: usize) {
        self.tasks = self.tasks.max(2 * used.min(MAX_PAGE));
    }

    /// Records the average size of documents.
    fn record_bytes(&mut self, documents: &[pb::Document]) {
        let bytes: usize = documents.iter().map(Message::encoded_len).sum();
        if let Some(average) = bytes.checked_div(documents.len()) {
            self.bytes = average;
        }
    }
}

impl Claims {
    /// Appends the next page to a window: the page that is being read ahead, or else one that is read now.
    pub(super) async fn read_queue(
        &self,
        window: &mut Window,
        kinds: &[String],
        slots: usize,
    ) -> Result<(), Failure> {
        if window.size > 0 {
            // The window was used up while it was fresh, so reading ahead pays again.
            self.state.shared().queue(kinds).page_size.no_read_ahead = false;
        }
        let read_ahead = match window.read_ahead.take() {
            // A read that panicked or was stopped has no result.
            Some(reading) => reading.await.ok(),
            None => None,
        };
        let page = if let Some(page) = read_ahead {
            page
        } else {
            let (query, limit) = self.next_page(window, kinds, slots);
            self.read_page(kinds, query, limit).await
        };
        window.append(page?);
        Ok(())
    }

    /// Starts to read the next page if the window will soon be used up. Called after each claim.
    pub(super) fn start_read_ahead(self: &Arc<Self>, window: &mut Window, kinds: &[String], slots: usize) {
        let runs_short = window.consumption.runs_short(window.tasks.len());
        if window.cursor.is_none() || window.read_ahead.is_some() || window.is_spent() {
            return;
        }
        {
            let mut shared = self.state.shared();
            let QueueState {
                page_size,
                contention,
                ..
            } = shared.queue(kinds);
            if page_size.no_read_ahead || !contention.should_read_ahead(runs_short) {
                return;
            }
        }
        let (query, limit) = self.next_page(window, kinds, slots);
        let (claims, kinds) = (self.clone(), kinds.to_vec());
        let reading = tokio::spawn(async move { claims.read_page(&kinds, query, limit).await });
        window.read_ahead = Some(reading);
    }

    /// Returns the query for the page that follows a window, with its limit.
    fn next_page(&self, window: &Window, kinds: &[String], slots: usize) -> (DocumentQuery, usize) {
        let mut shared = self.state.shared();
        let QueueState {
            page_size,
            contention,
            ..
        } = shared.queue(kinds);
        if window.size > 0 {
            page_size.grow(window.size.saturating_sub(window.blocked));
        }
        let limit = page_size.limit(slots, contention);
        let query = queries::due(&self.documents.env, kinds, window.as_of);
        (query.start_after(window.cursor.clone()).limit(limit), limit)
    }

    async fn read_page(
        &self,
        kinds: &[String],
        query: DocumentQuery,
        limit: usize,
    ) -> Result<QueuePage, Failure> {
        let began = Instant::now();
        let documents = self.documents.query(&query).await?;
        {
            let mut shared = self.state.shared();
            let queue = shared.queue(kinds);
            queue.page_size.record_bytes(&documents);
            queue.contention.record_read(began.elapsed());
        }
        let read = documents.len();
        let last = documents.last().filter(|_| read == limit);
        let cursor = last.map(|last| query.position_of(last));
        let tasks = documents
            .into_iter()
            .filter_map(|document| self.documents.decode_or_warn(document));
        let mut tasks: Vec<_> = tasks.collect();
        tasks.sort_by_key(|stored| stored.task.queue_order());
        Ok(QueuePage {
            tasks,
            read,
            cursor,
            duration: began.elapsed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_runs_short_when_it_lasts_for_less_than_two_queries() {
        let runs_short = |millis, left| {
            let since = Instant::now().checked_sub(Duration::from_millis(millis));
            let mut consumption = Consumption {
                query: Duration::from_millis(100),
                since: Some(since.expect("an instant")),
                at_start: 1000,
            };
            consumption.runs_short(left)
        };
        assert!(!runs_short(10, 1000), "no task is used yet");
        assert!(!runs_short(1000, 500), "the rest lasts for 1 s");
        assert!(runs_short(1000, 150), "the rest lasts for less than 0.2 s");
        assert!(!runs_short(60_000, 5), "the rest lasts for 0.3 s");
        assert!(!runs_short(300_000, 0), "the window was used up slowly");
    }

    #[test]
    fn the_first_claim_does_not_count_as_consumption() {
        let mut consumption = Consumption::new(Duration::from_hours(1));
        assert!(!consumption.runs_short(10));
        assert!(consumption.runs_short(9));
        assert!(consumption.runs_short(0));
    }
}
