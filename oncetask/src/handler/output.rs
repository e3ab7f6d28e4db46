use std::any::Any;

use serde::Serialize;

use super::HandlerError;
use crate::task::Json;

/// The outcome of one call of a handler.
#[doc(hidden)]
#[derive(Debug)]
pub enum HandlerOutcome {
    /// One outcome for every task of the call.
    All(Result<Option<Json>, HandlerError>),
    /// One outcome for each task, in the order of the tasks.
    Each(Vec<Outcome>),
}

/// The outcome of one task of a group.
///
/// A grouped handler may return `Result<Vec<Outcome>>`, with one outcome for each task in the order of the
/// tasks.
///
/// # Examples
///
/// ```
/// use oncetask::{HandlerError, Outcome};
///
/// async fn handler(numbers: Vec<u32>) -> oncetask::Result<Vec<Outcome>> {
///     Ok(numbers.iter().map(|n| if n % 2 == 0 { Outcome::done(n) } else { Outcome::error("odd") }).collect())
/// }
/// # let _ = handler(vec![]);
/// ```
#[derive(Debug)]
pub struct Outcome(pub(crate) Result<Option<Json>, HandlerError>);

impl Outcome {
    /// Returns the outcome of a task that completed with this result.
    pub fn done<T: Serialize + ?Sized>(result: &T) -> Self {
        Self(stored(result))
    }

    /// Returns the outcome of a task that did not complete. The [signal](HandlerError::signal) of the error
    /// decides whether the task is retried.
    pub fn error(error: impl Into<HandlerError>) -> Self {
        Self(Err(error.into()))
    }
}

impl<T: Serialize, E: Into<HandlerError>> From<Result<T, E>> for Outcome {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(result) => Self::done(&result),
            Err(error) => Self::error(error),
        }
    }
}

// The output of a handler must implement `Serialize`. The runtime takes outcomes out of it before it
// serialises.
impl Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(result) => serializer.serialize_some(&result.as_ref().map(Json::value)),
            Err(error) => serializer.collect_str(error),
        }
    }
}

/// The return type of a handler.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "this handler returns `{Self}`",
    note = "a handler returns `()` or `Result<T, E>` where `T: Serialize` and `E` is `oncetask::HandlerError` or any error type"
)]
pub trait HandlerOutput {
    #[doc(hidden)]
    fn into_handler_outcome(self) -> HandlerOutcome;
}

#[diagnostic::do_not_recommend]
impl HandlerOutput for () {
    fn into_handler_outcome(self) -> HandlerOutcome {
        HandlerOutcome::All(Ok(None))
    }
}

impl<T: Serialize + 'static, E: HandlerFailure> HandlerOutput for Result<T, E> {
    fn into_handler_outcome(self) -> HandlerOutcome {
        match self {
            Err(error) => HandlerOutcome::All(Err(error.into_handler_error())),
            // `Vec<Outcome>` is not serialised. A second implementation for it would overlap with this one.
            Ok(output) => match (Box::new(output) as Box<dyn Any>).downcast::<Vec<Outcome>>() {
                Ok(outcomes) => HandlerOutcome::Each(*outcomes),
                Err(output) => {
                    HandlerOutcome::All(output.downcast::<T>().map_or(Ok(None), |output| stored(&*output)))
                }
            },
        }
    }
}

/// Encodes a result; `None` for a result whose JSON is `null`.
fn stored<T: Serialize + ?Sized>(output: &T) -> Result<Option<Json>, HandlerError> {
    let json = Json::of(output)
        .map_err(|error| HandlerError::permanent(format!("the result cannot be written as JSON: {error}")))?;
    Ok((json.as_str() != "null").then_some(json))
}

/// The error type of a handler.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return the error type `{Self}`",
    label = "this handler returns an error of type `{Self}`",
    note = "implement `std::error::Error` for `{Self}`, or return `oncetask::Result` with a `HandlerError`"
)]
pub trait HandlerFailure {
    #[doc(hidden)]
    fn into_handler_error(self) -> HandlerError;
}

#[diagnostic::do_not_recommend]
impl<E: Into<HandlerError>> HandlerFailure for E {
    fn into_handler_error(self) -> HandlerError {
        self.into()
    }
}
