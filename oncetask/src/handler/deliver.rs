//! Calls the user's function with stored tasks: decodes the payloads, and erases the types.

use std::pin::Pin;
use std::sync::Arc;

use super::callable::{Callable, Extract, HandlerFuture};
use super::context::{Context, Needs};
use super::input::{Attempt, CleanupInput, TaskInput};
use super::output::{HandlerOutcome, HandlerOutput};
use crate::client::OnceTask;
use crate::panics;
use crate::store::ClaimedTask;
use crate::task::Json;

type BoxCall<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// The input of a type-erased handler: the context of the call, which holds the claimed tasks.
#[doc(hidden)]
#[derive(Debug)]
pub struct Delivery(pub(crate) Context);

/// The output of a type-erased handler, before the user's function runs.
#[doc(hidden)]
pub struct HandlerCall {
    /// The indexes of those claimed tasks whose payloads cannot be decoded, each with the error.
    pub(crate) unreadable: Vec<(usize, String)>,
    /// The call with the other tasks; `None` if no task can be decoded.
    pub(crate) future: Option<BoxCall<HandlerOutcome>>,
}

/// A type-erased handler.
pub(crate) type HandlerFn = Arc<dyn Fn(Delivery) -> HandlerCall + Send + Sync>;

/// Decodes the claimed tasks and returns the call of a handler with them.
#[doc(hidden)]
pub fn deliver<T, F, Args>(handler: F, delivery: Delivery) -> HandlerCall
where
    T: OnceTask,
    F: Callable<Args>,
    F::First: TaskInput<T>,
    F::Rest: Extract,
    F::Future: HandlerFuture<Out: HandlerOutput> + Send + 'static,
{
    let Delivery(context) = delivery;
    let claimed = context.claim.tasks();
    let mut attempts = Vec::with_capacity(claimed.len());
    let mut unreadable = Vec::new();
    for (index, ClaimedTask { task: stored, .. }) in claimed.iter().enumerate() {
        match decode(&stored.spec.payload) {
            Ok(task) => attempts.push(Attempt {
                task,
                id: stored.id().clone(),
                attempt: context.claim.attempt_of(stored),
                occurrence: stored.spec.occurrence.clone(),
            }),
            Err(error) => unreadable.push((index, error)),
        }
    }
    let future = (!attempts.is_empty()).then(|| -> BoxCall<HandlerOutcome> {
        // The handler is called inside the future, so that the code before its first `.await` is part of the
        // call.
        Box::pin(async move {
            let future = handler.call(F::First::from_attempts(attempts), F::Rest::extract(&context));
            future.await.into_handler_outcome()
        })
    });
    HandlerCall { unreadable, future }
}

/// Decodes a payload. `Deserialize` is user code: if it panics, only this task is unreadable, and the others
/// of its call are not affected.
fn decode<T: OnceTask>(payload: &Json) -> Result<T, String> {
    panics::catch(|| payload.read_payload())
        .map_err(|panic| format!("its `Deserialize` {panic}"))?
        .map_err(|error| error.to_string())
}

/// Decodes a claimed task and returns the call of a cleanup handler with it.
#[doc(hidden)]
pub fn clean_up<T, F, Args>(handler: F, delivery: Delivery) -> HandlerCall
where
    T: OnceTask,
    F: Callable<Args>,
    F::First: CleanupInput<T>,
    F::Rest: Extract,
    F::Future: HandlerFuture<Out: HandlerOutput> + Send + 'static,
{
    deliver::<T, F, Args>(handler, delivery)
}

/// Returns whether a handler takes all pending tasks of a resource key in one call.
#[doc(hidden)]
#[must_use]
pub const fn is_grouped<T, F, Args>(_handler: &F) -> bool
where
    F: Callable<Args>,
    F::First: TaskInput<T>,
{
    F::First::GROUPED
}

/// Adds the states that a handler needs.
#[doc(hidden)]
pub fn needs<F, Args>(_handler: &F, needs: &mut Needs)
where
    F: Callable<Args>,
    F::Rest: Extract,
{
    F::Rest::needs(needs);
}
