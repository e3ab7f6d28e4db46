//! The first parameter of a handler: a task, an attempt, or a group of them.

use std::ops::Deref;

use crate::client::OnceTask;
use crate::task::{Occurrence, TaskId};

/// One attempt of a task: the task together with its id and the number of the attempt.
///
/// It dereferences to the task.
///
/// # Examples
///
/// ```
/// use oncetask::{Attempt, OnceTask};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, OnceTask)]
/// #[id("report:{customer}")]
/// #[handler(run = send)]
/// struct Report { customer: String }
///
/// async fn send(report: Attempt<Report>) -> oncetask::Result {
///     println!("attempt {} of {} for {}", report.attempt, report.id, report.customer);
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt<T> {
    /// The decoded payload.
    pub task: T,
    /// The id of the task.
    pub id: TaskId,
    /// The number of this attempt, counted from one.
    pub attempt: u32,
    /// The generator and the instant, if the task is an occurrence of a recurring task.
    pub occurrence: Option<Occurrence>,
}

impl<T> Attempt<T> {
    /// Returns an attempt of a task that is not an occurrence. It is for tests that call a handler directly.
    #[must_use]
    pub fn new(task: T, id: impl Into<TaskId>, attempt: u32) -> Self {
        Self {
            task,
            id: id.into(),
            attempt,
            occurrence: None,
        }
    }

    /// Sets the generator and the instant of an occurrence.
    #[must_use]
    pub fn with_occurrence(mut self, occurrence: Occurrence) -> Self {
        self.occurrence = Some(occurrence);
        self
    }
}

impl<T> Deref for Attempt<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.task
    }
}

/// The first parameter of a handler of `T`.
#[diagnostic::on_unimplemented(
    message = "a handler of `{T}` cannot take `{Self}` as its first parameter",
    label = "the first parameter of this handler is `{Self}`",
    note = "the first parameter is the task by value: `{T}` (`self`, not `&self`) or `Attempt<{T}>`",
    note = "or all pending tasks of one resource key: `Vec<{T}>` or `Vec<Attempt<{T}>>`"
)]
pub trait TaskInput<T>: Sized + Send + 'static {
    /// True if the handler takes all pending tasks of a resource key in one call.
    const GROUPED: bool;

    #[doc(hidden)]
    fn from_attempts(attempts: Vec<Attempt<T>>) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: OnceTask> TaskInput<T> for T {
    const GROUPED: bool = false;

    fn from_attempts(attempts: Vec<Attempt<T>>) -> Self {
        only(attempts).task
    }
}

#[diagnostic::do_not_recommend]
impl<T: OnceTask> TaskInput<T> for Attempt<T> {
    const GROUPED: bool = false;

    fn from_attempts(attempts: Vec<Attempt<T>>) -> Self {
        only(attempts)
    }
}

#[diagnostic::do_not_recommend]
impl<T: OnceTask> TaskInput<T> for Vec<T> {
    const GROUPED: bool = true;

    fn from_attempts(attempts: Vec<Attempt<T>>) -> Self {
        attempts.into_iter().map(|attempt| attempt.task).collect()
    }
}

#[diagnostic::do_not_recommend]
impl<T: OnceTask> TaskInput<T> for Vec<Attempt<T>> {
    const GROUPED: bool = true;

    fn from_attempts(attempts: Vec<Attempt<T>>) -> Self {
        attempts
    }
}

/// The first parameter of a cleanup handler of `T`.
#[diagnostic::on_unimplemented(
    message = "a cleanup handler of `{T}` cannot take `{Self}` as its first parameter",
    label = "the first parameter of this handler is `{Self}`",
    note = "a cleanup handler takes one task by value: `{T}` (`self`, not `&self`) or `Attempt<{T}>`"
)]
pub trait CleanupInput<T>: TaskInput<T> {}

#[diagnostic::do_not_recommend]
impl<T: OnceTask> CleanupInput<T> for T {}

#[diagnostic::do_not_recommend]
impl<T: OnceTask> CleanupInput<T> for Attempt<T> {}

fn only<T>(attempts: Vec<Attempt<T>>) -> Attempt<T> {
    attempts
        .into_iter()
        .next()
        .expect("a handler is called with at least one task")
}
