use std::ops::Deref;

use crate::task::{OnceTask, TaskId};

/// A task with what the store knows about it.
#[derive(Clone, Debug)]
pub struct Attempt<T> {
    /// The task's payload.
    pub task: T,
    /// The task's id.
    pub id: TaskId,
    /// The number of this attempt, counted from one.
    pub attempt: u32,
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
    /// Whether the handler takes every pending task of a resource key.
    const GROUPED: bool;

    #[doc(hidden)]
    fn from_attempts(jobs: Vec<Attempt<T>>) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: OnceTask> TaskInput<T> for T {
    const GROUPED: bool = false;

    fn from_attempts(jobs: Vec<Attempt<T>>) -> Self {
        only(jobs).task
    }
}

#[diagnostic::do_not_recommend]
impl<T: OnceTask> TaskInput<T> for Attempt<T> {
    const GROUPED: bool = false;

    fn from_attempts(jobs: Vec<Attempt<T>>) -> Self {
        only(jobs)
    }
}

#[diagnostic::do_not_recommend]
impl<T: OnceTask> TaskInput<T> for Vec<T> {
    const GROUPED: bool = true;

    fn from_attempts(jobs: Vec<Attempt<T>>) -> Self {
        jobs.into_iter().map(|job| job.task).collect()
    }
}

#[diagnostic::do_not_recommend]
impl<T: OnceTask> TaskInput<T> for Vec<Attempt<T>> {
    const GROUPED: bool = true;

    fn from_attempts(jobs: Vec<Attempt<T>>) -> Self {
        jobs
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

fn only<T>(jobs: Vec<Attempt<T>>) -> Attempt<T> {
    jobs.into_iter()
        .next()
        .expect("a handler is called with at least one task")
}
