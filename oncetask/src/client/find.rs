//! Finding tasks.

use super::{Client, Tasks};
use crate::error::Error;
use crate::store::Filter;
use crate::task::{Status, Task, TaskId};

impl Client {
    /// Returns the task with this id, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = oncetask::Client::in_memory();
    /// assert!(client.get("greet:Ada").await?.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn get(&self, id: impl Into<TaskId>) -> Result<Option<Task>, Error> {
        Ok(self.store.get(vec![id.into()]).await?.pop().flatten())
    }

    /// Returns the tasks with these ids, in order; `None` for an id that does not exist.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # use oncetask::{Client, Filter};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = Client::in_memory();
    /// let tasks = client.get_many(["greet:Ada", "greet:Grace"]).await?;
    /// assert_eq!(tasks, [None, None]);
    /// # Ok(()) }
    /// ```
    pub async fn get_many(
        &self,
        ids: impl IntoIterator<Item: Into<TaskId>>,
    ) -> Result<Vec<Option<Task>>, Error> {
        let ids = ids.into_iter().map(Into::into).collect();
        Ok(self.store.get(ids).await?)
    }

    /// Returns the tasks of a resource key, of every kind and status, ordered by creation.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # use oncetask::{Client, Filter};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = Client::in_memory();
    /// for task in client.by_resource_key("user:7").await? {
    ///     println!("{}", task.id());
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn by_resource_key(&self, key: &str) -> Result<Vec<Task>, Error> {
        if key.is_empty() {
            return Ok(Vec::new());
        }
        self.list(Filter::new().resource_key(key)).all().await
    }

    /// Lists the tasks that match a filter: a stream that fetches one page at a time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use oncetask::{Client, Filter};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = Client::in_memory();
    /// let newest = client.list(Filter::new().kind("SendEmail").newest_first()).limit(10).all().await?;
    /// assert!(newest.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn list(&self, filter: Filter) -> Tasks {
        Tasks::new(self.clone(), filter)
    }

    /// Counts the tasks that match a filter.
    ///
    /// On Firestore, a count by status reads every task that matches the rest of the filter, and each read is
    /// billed. A count by kind, resource key or generator alone costs one read per 1,000 tasks.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # use oncetask::{Client, Filter, Status};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = Client::in_memory();
    /// let failed = client.count(Filter::new().kind("SendEmail").status(Status::Failed)).await?;
    /// assert_eq!(failed, 0);
    /// # Ok(()) }
    /// ```
    pub async fn count(&self, filter: Filter) -> Result<u64, Error> {
        Ok(self.store.count(filter, self.now()).await?)
    }

    /// Counts the pending tasks of a kind: those that are due and wait for a worker.
    ///
    /// On Firestore this reads every task of the kind that is not done, and each read is billed.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # use oncetask::{Client, Filter};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = Client::in_memory();
    /// assert_eq!(client.pending_count("SendEmail").await?, 0);
    /// # Ok(()) }
    /// ```
    pub async fn pending_count(&self, kind: &str) -> Result<u64, Error> {
        self.count(Filter::new().kind(kind).status(Status::Pending)).await
    }

    /// Returns the kinds of the stored tasks in alphabetical order.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # use oncetask::{Client, Filter};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = Client::in_memory();
    /// assert!(client.kinds().await?.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn kinds(&self) -> Result<Vec<String>, Error> {
        Ok(self.store.kinds().await?)
    }
}
