use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::Client;
use crate::error::{Error, StoreError};
use crate::store::{Filter, Page, Query};
use crate::task::Task;

/// How many tasks a page has.
const PAGE: usize = 200;

type Fetch = Pin<Box<dyn Future<Output = Result<Page, StoreError>> + Send>>;

/// Tasks, page after page: what [`Client::list`] returns.
///
/// A `Stream` of `Result<Task, Error>`; [`next`](Self::next) and [`all`](Self::all) do without one. It ends
/// after an error.
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
#[must_use = "nothing is fetched before the first `next`"]
pub struct Tasks {
    client: Client,
    /// The next page, until there is none.
    query: Option<Query>,
    fetch: Option<Fetch>,
    fetched: VecDeque<Task>,
}

impl Tasks {
    pub(super) fn new(client: Client, filter: Filter) -> Self {
        let query = Query {
            filter,
            after: None,
            limit: PAGE,
            now: client.now(),
        };
        Self {
            client,
            query: Some(query),
            fetch: None,
            fetched: VecDeque::new(),
        }
    }

    /// The next task; `None` after the last.
    ///
    /// # Cancel safety
    ///
    /// No task is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Task, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// All of them that are left.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn all(mut self) -> Result<Vec<Task>, Error> {
        let mut tasks = Vec::new();
        while let Some(task) = self.next().await {
            tasks.push(task?);
        }
        Ok(tasks)
    }

    fn fetching(&mut self) -> Option<&mut Fetch> {
        if self.fetch.is_none() {
            let query = self.query.clone()?;
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
            if let Some(task) = self.fetched.pop_front() {
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
