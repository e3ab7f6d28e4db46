//! Changing tasks, and waiting for their end.

use super::{Client, one_result};
use crate::error::Error;
use crate::store::{Action, Filter, Topic};
use crate::task::transition::Change;
use crate::task::{Ending, ResourceKey, Task, TaskId};

impl Client {
    /// Cancels a task. A waiting task does not run any more, and the handler of a running task is notified through
    /// [`Context::cancelled`](crate::Context::cancelled). The cleanup handler of the task's type, if there is one,
    /// then runs until it succeeds or its attempts are used up.
    ///
    /// Cancelling a task twice is safe.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the task is either cancelled or not. Calling it again is safe.
    ///
    /// # Examples
    ///
    /// ```
    /// # use oncetask::{Change, Client, OnceTask, Status};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize, OnceTask)]
    /// # #[id("greet:{name}")]
    /// # struct Greet { name: String }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = Client::in_memory();
    /// client.create(Greet { name: "Ada".into() }).await?;
    /// assert_eq!(client.cancel("greet:Ada").await?, Change::Applied);
    /// assert_eq!(client.cancel("greet:Ada").await?, Change::AlreadyCancelled);
    /// assert_eq!(client.cancel("greet:Grace").await?, Change::NotFound);
    /// # Ok(()) }
    /// ```
    pub async fn cancel(&self, id: impl Into<TaskId>) -> Result<Change, Error> {
        self.change_one(id.into(), Action::Cancel).await
    }

    /// Cancels tasks. Returns one result for each, in order.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails. Some of the tasks may already be cancelled; calling this
    /// function again is safe.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, each task is either cancelled or not.
    ///
    /// # Examples
    ///
    /// ```
    /// # use oncetask::{Change, Client};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = Client::in_memory();
    /// let changes = client.cancel_many(["greet:Ada", "greet:Grace"]).await?;
    /// assert_eq!(changes, [Change::NotFound, Change::NotFound]);
    /// # Ok(()) }
    /// ```
    pub async fn cancel_many(
        &self,
        ids: impl IntoIterator<Item: Into<TaskId>>,
    ) -> Result<Vec<Change>, Error> {
        self.change(ids.into_iter().map(Into::into).collect(), Action::Cancel)
            .await
    }

    /// Cancels every task of a kind and resource key that is not done. Returns the ids of the tasks that this call
    /// cancelled.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails. Some of the tasks may already be cancelled; calling this
    /// function again is safe.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, each task is either cancelled or not.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = oncetask::Client::in_memory();
    /// let cancelled = client.cancel_by_resource_key("SyncUser", "user:7").await?;
    /// assert!(cancelled.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn cancel_by_resource_key(&self, kind: &str, key: &str) -> Result<Vec<TaskId>, Error> {
        let Some(key) = ResourceKey::new(key) else {
            return Ok(Vec::new());
        };
        let filter = Filter {
            resource_key: Some(key),
            ..Filter::new().kind(kind)
        };
        let tasks = self.list(filter).all().await?;
        let ids: Vec<_> = tasks
            .into_iter()
            .filter(|task| !task.is_done())
            .map(|task| task.spec.id)
            .collect();
        let changes = self.change(ids.clone(), Action::Cancel).await?;
        let cancelled = ids
            .into_iter()
            .zip(changes)
            .filter(|(_, change)| *change == Change::Applied);
        Ok(cancelled.map(|(id, _)| id).collect())
    }

    /// Resets a task that is done: its attempts, errors, result and cancellation are cleared, and it is due at
    /// once. A generator continues with its next occurrence after now.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the task is either reset or not.
    ///
    /// # Examples
    ///
    /// This resets every failed task of a kind:
    ///
    /// ```
    /// # use oncetask::{Client, Filter, Status};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = Client::in_memory();
    /// let mut failed = client.list(Filter::new().kind("SendEmail").status(Status::Failed));
    /// while let Some(task) = failed.next().await {
    ///     client.reset(task?.id()).await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn reset(&self, id: impl Into<TaskId>) -> Result<Change, Error> {
        self.change_one(id.into(), Action::Reset).await
    }

    /// Resets tasks. Returns one result for each, in order.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails. Some of the tasks may already be reset.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, each task is either reset or not.
    ///
    /// # Examples
    ///
    /// ```
    /// # use oncetask::{Change, Client};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = Client::in_memory();
    /// let changes = client.reset_many(["greet:Ada", "greet:Grace"]).await?;
    /// assert_eq!(changes, [Change::NotFound, Change::NotFound]);
    /// # Ok(()) }
    /// ```
    pub async fn reset_many(&self, ids: impl IntoIterator<Item: Into<TaskId>>) -> Result<Vec<Change>, Error> {
        self.change(ids.into_iter().map(Into::into).collect(), Action::Reset)
            .await
    }

    /// Deletes a task of any status. If its handler is running, the handler is notified through
    /// [`Context::cancelled`](crate::Context::cancelled), and its outcome is dropped.
    ///
    /// The resource key of the task is free at once. Another task of the key may therefore start before the
    /// handler has stopped.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the task is either deleted or not. Calling it again is safe.
    ///
    /// # Examples
    ///
    /// ```
    /// # use oncetask::{Change, Client};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = Client::in_memory();
    /// assert_eq!(client.delete("greet:Ada").await?, Change::NotFound);
    /// # Ok(()) }
    /// ```
    pub async fn delete(&self, id: impl Into<TaskId>) -> Result<Change, Error> {
        self.change_one(id.into(), Action::Delete).await
    }

    /// Deletes tasks. Returns one result for each, in order.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails. Some of the tasks may already be deleted; calling this
    /// function again is safe.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, each task is either deleted or not.
    ///
    /// # Examples
    ///
    /// ```
    /// # use oncetask::{Change, Client};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = Client::in_memory();
    /// let changes = client.delete_many(["greet:Ada", "greet:Grace"]).await?;
    /// assert_eq!(changes, [Change::NotFound, Change::NotFound]);
    /// # Ok(()) }
    /// ```
    pub async fn delete_many(
        &self,
        ids: impl IntoIterator<Item: Into<TaskId>>,
    ) -> Result<Vec<Change>, Error> {
        self.change(ids.into_iter().map(Into::into).collect(), Action::Delete)
            .await
    }

    async fn change_one(&self, id: TaskId, action: Action) -> Result<Change, Error> {
        Ok(one_result(self.change(vec![id], action).await?))
    }

    async fn change(&self, ids: Vec<TaskId>, action: Action) -> Result<Vec<Change>, Error> {
        Ok(self.store.change(ids, action, self.now()).await?)
    }

    /// Waits until a task is done. Returns it if it completed.
    ///
    /// The store wakes this call when the task ends. To limit the wait, use `tokio::time::timeout`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Unsuccessful`] with the task's errors if it failed or was cancelled, [`Error::NotFound`] if
    /// it does not exist or is deleted, and [`Error::Store`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # use oncetask::{Client, OnceTask};
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Serialize, Deserialize, OnceTask)]
    /// #[id("double:{number}")]
    /// #[handler]
    /// struct Double { number: u32 }
    ///
    /// impl Double {
    ///     async fn run(self) -> oncetask::Result<u32> { Ok(self.number * 2) }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::in_memory();
    /// let worker = oncetask::builder().client(client.clone()).only(&["Double"]).start().await?;
    /// let enqueued = client.create(Double { number: 21 }).await?;
    /// let task = client.wait(enqueued.id()).await?;
    /// assert_eq!(task.result::<u32>()?, Some(42));
    /// # worker.shutdown().await;
    /// # Ok(()) }
    /// ```
    pub async fn wait(&self, id: impl Into<TaskId>) -> Result<Task, Error> {
        let id = id.into();
        let mut subscription = self.store.subscribe(Topic::Task(id.clone()));
        loop {
            let task = self.get(&id).await?;
            let task = task.ok_or_else(|| Error::NotFound { id: id.clone() })?;
            match task.state.done.map(|done| done.how) {
                None => subscription.notified().await,
                Some(Ending::Completed) => return Ok(task),
                Some(how) => {
                    return Err(Error::Unsuccessful {
                        id,
                        how,
                        errors: task.state.errors,
                    });
                }
            };
        }
    }
}
