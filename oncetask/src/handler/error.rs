use std::fmt;
use std::sync::Arc;
use std::time::Duration;

type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The result of a handler. It pairs with [`HandlerError`], not with [`oncetask::Error`](crate::Error).
///
/// `Ok` completes the task. `Err` retries it, unless the [`HandlerError`] carries another [`Signal`].
pub type Result<T = (), E = HandlerError> = std::result::Result<T, E>;

/// The error of a handler that did not complete its task.
///
/// `?` converts every error into it, with the signal [`Signal::Retry`]. The constructors and [`ResultExt`]
/// choose another signal.
///
/// It does not implement `std::error::Error`, because `?` could then not convert every error into it. So it
/// cannot be put into an `anyhow::Error`: a handler that returns `anyhow::Result` can fail, but cannot choose
/// a signal.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use oncetask::{HandlerError, ResultExt};
///
/// async fn handler(raw: &str) -> oncetask::Result<u32> {
///     let number: u32 = raw.parse().permanent()?;              // the task fails
///     if number == 0 {
///         return Err(HandlerError::snooze(Duration::from_secs(60))); // later, without counting the attempt
///     }
///     if number == 1 {
///         return Err("no answer".into());                      // retried by the policy
///     }
///     Ok(number)
/// }
/// # let _ = handler("1");
/// ```
pub struct HandlerError {
    signal: Signal,
    /// The error. It is shared by the tasks of a call, because the retry policy reads it once for each task.
    source: Arc<dyn std::error::Error + Send + Sync + 'static>,
}

/// The next step for a task that did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// Retry the task by its retry policy.
    Retry,
    /// Retry the task after this delay, within the attempts that the policy allows.
    RetryAfter(Duration),
    /// Run the task again after this delay, without counting the attempt.
    Snooze(Duration),
    /// Fail the task. It is not retried.
    Permanent,
    /// Cancel the task. It is not retried.
    Cancel,
}

impl HandlerError {
    fn new(signal: Signal, error: impl Into<BoxError>) -> Self {
        let source = error.into().into();
        Self { signal, source }
    }

    /// Returns an error that fails the task without a retry.
    pub fn permanent(error: impl Into<BoxError>) -> Self {
        Self::new(Signal::Permanent, error)
    }

    /// Returns an error that fails the attempt, and sets the delay before the next one.
    pub fn retry_after(delay: Duration, error: impl Into<BoxError>) -> Self {
        Self::new(Signal::RetryAfter(delay), error)
    }

    /// Returns an error that postpones the task without counting the attempt.
    #[must_use]
    pub fn snooze(delay: Duration) -> Self {
        Self::new(Signal::Snooze(delay), "snoozed")
    }

    /// Returns an error that cancels the task.
    pub fn cancel(reason: impl Into<BoxError>) -> Self {
        Self::new(Signal::Cancel, reason)
    }

    /// Returns the next step for the task.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Returns the original error if it is of this type. A custom retry policy can inspect it.
    #[must_use]
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.source.downcast_ref()
    }

    /// Returns the error and its causes in one line, as they are stored.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.source.to_string();
        let mut cause = self.source.source();
        while let Some(error) = cause {
            let error_text = error.to_string();
            // Many errors include their cause in their own text.
            if !text.ends_with(&error_text) {
                text.push_str(": ");
                text.push_str(&error_text);
            }
            cause = error.source();
        }
        text
    }

    /// Returns a copy for another task of the same call. It is not `Clone`, because handlers need no copies.
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            signal: self.signal,
            source: self.source.clone(),
        }
    }
}

impl<E: Into<BoxError>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(Signal::Retry, error)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.source, f)
    }
}

/// Sets the [`Signal`] of an error, for use with `?`.
pub trait ResultExt<T> {
    /// Fails the task without a retry if the result is an error.
    ///
    /// # Errors
    ///
    /// Returns the error of `self` with [`Signal::Permanent`].
    fn permanent(self) -> Result<T>;

    /// Fails the attempt if the result is an error, and sets the delay before the next attempt.
    ///
    /// # Errors
    ///
    /// Returns the error of `self` with [`Signal::RetryAfter`].
    fn retry_after(self, delay: Duration) -> Result<T>;
}

impl<T, E: Into<BoxError>> ResultExt<T> for std::result::Result<T, E> {
    fn permanent(self) -> Result<T> {
        self.map_err(HandlerError::permanent)
    }

    fn retry_after(self, delay: Duration) -> Result<T> {
        self.map_err(|error| HandlerError::retry_after(delay, error))
    }
}
