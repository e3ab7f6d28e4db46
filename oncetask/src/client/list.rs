//! The stream of the tasks that match a filter.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::Client;
use crate::error::{Error, StoreError};
use crate::store::{Cursor, Filter, Page, Query};
use crate::task::Task;

/// The maximum number of tasks that one request fetches.
const MAX_PAGE: usize = 200;

type Fetch = Pin<Box<dyn Future<Output = Result<Page, StoreError>> + Send>>;

/// A stream of tasks, fetched one page at a time: the result of [`Client::list`].
///
/// It is a `Stream` of `Result<Task, Error>`, and ends after an error. [`next`](Self::next) and [`all`](Self::all)
/// need no crate for streams.
///
/// ```
/// # use oncetask::{Client, Filter, Status};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
/// # let client = Client::in_memory();
/// let mut failed = client.list(Filter::new().status(Status::Failed));
/// while let Some(task) = failed.next().await {
///     println!("{}", task?.id());
/// }
/// # Ok(()) }
/// ```
///
/// A page of a user interface has a limit, and starts at the cursor of the page before it:
///
/// ```
/// # use oncetask::{Client, Filter};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
/// # let client = Client::in_memory();
/// let mut page = client.list(Filter::new()).limit(50);
/// while let Some(task) = page.next().await {
///     println!("{}", task?.id());
/// }
/// let next_page = client.list(Filter::new()).limit(50).after(page.cursor());
/// # let _ = next_page; Ok(()) }
/// ```
#[must_use = "nothing is fetched before the first `next`"]
pub struct Tasks {
    client: Client,
    /// The request for the next page; `None` after the last page.
    query: Option<Query>,
    fetch: Option<Fetch>,
    fetched: VecDeque<Task>,
    /// The number of tasks that may still be returned.
    remaining: usize,
    cursor: Option<Cursor>,
}

impl Tasks {
    pub(super) fn new(client: Client, filter: Filter) -> Self {
        let query = Query::new(filter, MAX_PAGE, client.now());
        Self {
            client,
            query: Some(query),
            fetch: None,
            fetched: VecDeque::new(),
            remaining: usize::MAX,
            cursor: None,
        }
    }

    /// Sets the maximum number of tasks.
    pub fn limit(mut self, limit: usize) -> Self {
        self.remaining = limit;
        self
    }

    /// Starts after a position: the [`cursor`](Self::cursor) of another listing with the same filter. `None` starts
    /// at the first task.
    pub fn after(mut self, cursor: Option<Cursor>) -> Self {
        self.cursor.clone_from(&cursor);
        if let Some(query) = &mut self.query {
            query.after = cursor;
        }
        self
    }

    /// Returns the position after the last task that was returned; `None` at the start of the list.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        self.cursor.clone()
    }

    /// Returns the next task; `None` after the last one.
    ///
    /// # Errors
    ///
    /// The item is [`Error::Store`] if the store fails. It is the last item then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no task.
    pub async fn next(&mut self) -> Option<Result<Task, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Returns all remaining tasks.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the stored tasks.
    pub async fn all(mut self) -> Result<Vec<Task>, Error> {
        let mut tasks = Vec::new();
        while let Some(task) = self.next().await {
            tasks.push(task?);
        }
        Ok(tasks)
    }

    fn fetching(&mut self) -> Option<&mut Fetch> {
        if self.fetch.is_none() {
            let mut query = self.query.clone()?;
            query.limit = query.limit.min(self.remaining);
            let store = self.client.store.clone();
            self.fetch = Some(Box::pin(async move { store.query(query).await }));
        }
        self.fetch.as_mut()
    }
}

impl Stream for Tasks {
    type Item = Result<Task, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.remaining == 0 {
                return Poll::Ready(None);
            }
            if let Some(task) = self.fetched.pop_front() {
                self.remaining -= 1;
                self.cursor = Some(Cursor::of(&task));
                return Poll::Ready(Some(Ok(task)));
            }
            let Some(fetch) = self.fetching() else {
                return Poll::Ready(None);
            };
            let Poll::Ready(page) = fetch.as_mut().poll(cx) else {
                return Poll::Pending;
            };
            self.fetch = None;
            let query = self.query.take();
            match page {
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
                Ok(page) => {
                    self.fetched = page.tasks.into();
                    let after = page.next;
                    self.query = query
                        .filter(|_| after.is_some())
                        .map(|query| Query { after, ..query });
                }
            }
        }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::store::{MemoryStore, Store as _};
    use crate::task::{Json, TaskSpec};

    async fn client() -> Client {
        let store = MemoryStore::new("TEST");
        let tasks = (0..5).map(|n| {
            let created_at = DateTime::UNIX_EPOCH + TimeDelta::seconds(n);
            let spec = TaskSpec::new(
                format!("task:{n}").into(),
                "Kind",
                Json::trusted("{}"),
                created_at,
            );
            Task::new(spec, created_at)
        });
        store.create(tasks.collect()).await.expect("the store answers");
        Client::new(store)
    }

    fn ids(tasks: &[Task]) -> Vec<&str> {
        tasks.iter().map(|task| task.id().as_str()).collect()
    }

    #[tokio::test]
    async fn a_limit_and_a_cursor_split_a_listing_into_pages() {
        let client = client().await;
        let (mut cursor, mut pages) = (None, Vec::new());
        loop {
            let mut page = client.list(Filter::new()).limit(2).after(cursor);
            let mut tasks = Vec::new();
            while let Some(task) = page.next().await {
                tasks.push(task.expect("the store answers"));
            }
            cursor = page.cursor();
            if tasks.is_empty() {
                break;
            }
            pages.push(tasks);
        }
        let pages: Vec<_> = pages.iter().map(|tasks| ids(tasks)).collect();
        assert_eq!(
            pages,
            [vec!["task:0", "task:1"], vec!["task:2", "task:3"], vec!["task:4"]]
        );
    }

    #[tokio::test]
    async fn a_listing_continues_after_a_cursor_that_was_text() {
        let client = client().await;
        let mut page = client.list(Filter::new().newest_first()).limit(3);
        while page.next().await.is_some() {}
        let text = page.cursor().expect("three tasks were returned").to_string();
        let cursor = text.parse().expect("the text of a cursor");
        let rest = client.list(Filter::new().newest_first()).after(Some(cursor));
        assert_eq!(
            ids(&rest.all().await.expect("the store answers")),
            ["task:1", "task:0"]
        );
        let error = "tomorrow".parse::<Cursor>().unwrap_err().to_string();
        assert_eq!(
            error,
            "invalid cursor `tomorrow`: expected the text form of a `Cursor`"
        );
    }

    #[tokio::test]
    async fn a_limit_of_zero_returns_nothing() {
        let client = client().await;
        assert!(
            client
                .list(Filter::new())
                .limit(0)
                .all()
                .await
                .expect("nothing is read")
                .is_empty()
        );
    }
}
