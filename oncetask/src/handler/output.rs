use std::any::Any;

use serde::Serialize;

use super::HandlerError;
use crate::task::Json;

/// What became of a call of a handler.
#[doc(hidden)]
#[derive(Debug)]
pub enum HandlerOutcome {
    /// The same for every task of the call.
    All(Result<Option<Json>, HandlerError>),
    /// One for each task, in the order given.
    Each(Vec<Outcome>),
}

/// What became of one task of a group: a grouped handler may return `Result<Vec<Outcome>>`, one for each
/// task in the order given.
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
    /// The task is complete, with this result.
    pub fn done<T: Serialize + ?Sized>(result: &T) -> Self {
        Self(stored(result))
    }

    /// The task failed this time, or whatever else the error says.
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

// A handler's output is something that serialises. This one never reaches a serialiser.
impl Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(result) => serializer.serialize_some(&result.as_ref().map(Json::value)),
            Err(error) => serializer.collect_str(error),
        }
    }
}

/// What a handler returns.
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
            // One type needs treatment of its own, and the compiler allows no second implementation for it.
            Ok(output) => match (Box::new(output) as Box<dyn Any>).downcast::<Vec<Outcome>>() {
                Ok(outcomes) => HandlerOutcome::Each(*outcomes),
                Err(output) => {
                    HandlerOutcome::All(output.downcast::<T>().map_or(Ok(None), |output| stored(&*output)))
                }
            },
        }
    }
}

/// A result as it is stored: nothing for what JSON writes as `null`.
fn stored<T: Serialize + ?Sized>(output: &T) -> Result<Option<Json>, HandlerError> {
    let json = Json::of(output)
        .map_err(|error| HandlerError::permanent(format!("the result cannot be written as JSON: {error}")))?;
    Ok((json.as_str() != "null").then_some(json))
}

/// The error of a handler.
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
