use std::fmt;
use std::sync::Arc;
use std::time::Duration;

type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What a handler returns: `Ok` completes the task, `Err` retries it.
pub type Result<T = (), E = HandlerError> = std::result::Result<T, E>;

/// Why a handler did not complete a task.
///
/// Every error converts with `?` and means "try again". The constructors and [`ResultExt`] say something else.
///
/// It is no `std::error::Error`, which is what lets `?` take every error in: so it cannot be put into an
/// `anyhow::Error`, and a handler that returns `anyhow::Result` can fail but not signal.
///
/// ```
/// use std::time::Duration;
/// use oncetask::{HandlerError, ResultExt};
///
/// async fn handler(raw: &str) -> oncetask::Result<u32> {
///     let number: u32 = raw.parse().permanent()?;              // never again
///     if number == 0 {
///         return Err(HandlerError::snooze(Duration::from_secs(60))); // later, no attempt counted
///     }
///     if number == 1 {
///         return Err("no answer".into());                      // again, as the policy says
///     }
///     Ok(number)
/// }
/// # let _ = handler("1");
/// ```
pub struct HandlerError {
    signal: Signal,
    /// Shared by the tasks of a call, each of whose policies may look at it.
    source: Arc<dyn std::error::Error + Send + Sync + 'static>,
}

/// What should happen to a task that did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// Try again as the retry policy says.
    Retry,
    /// Try again after this delay, within the attempts the policy allows.
    RetryAfter(Duration),
    /// Run again after this delay, without counting an attempt.
    Snooze(Duration),
    /// Never try again: the task failed.
    Permanent,
    /// Never try again: the task is cancelled.
    Cancel,
}

impl HandlerError {
    fn new(signal: Signal, error: impl Into<BoxError>) -> Self {
        let source = error.into().into();
        Self { signal, source }
    }

    /// Fails the task for good.
    pub fn permanent(error: impl Into<BoxError>) -> Self {
        Self::new(Signal::Permanent, error)
    }

    /// Fails the attempt and chooses the delay before the next.
    pub fn retry_after(delay: Duration, error: impl Into<BoxError>) -> Self {
        Self::new(Signal::RetryAfter(delay), error)
    }

    /// Puts the task off without counting an attempt.
    #[must_use]
    pub fn snooze(delay: Duration) -> Self {
        Self::new(Signal::Snooze(delay), "snoozed")
    }

    /// Cancels the task.
    pub fn cancel(reason: impl Into<BoxError>) -> Self {
        Self::new(Signal::Cancel, reason)
    }

    /// What should happen to the task.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// The error itself, if it is of this type: for a retry policy that looks closer.
    #[must_use]
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.source.downcast_ref()
    }

    /// The error and what caused it, in one line: what is stored.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.source.to_string();
        let mut cause = self.source.source();
        while let Some(error) = cause {
            let error_text = error.to_string();
            // Many errors print their cause themselves.
            if !text.ends_with(&error_text) {
                text.push_str(": ");
                text.push_str(&error_text);
            }
            cause = error.source();
        }
        text
    }

    /// The same once more, for another task of the same call.
    pub(crate) fn again(&self) -> Self {
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

/// Says with `?` what should happen to the task.
pub trait ResultExt<T> {
    /// Fails the task for good on error.
    ///
    /// # Errors
    ///
    /// When `self` is an error.
    fn permanent(self) -> Result<T>;

    /// Fails the attempt on error and chooses the delay before the next.
    ///
    /// # Errors
    ///
    /// When `self` is an error.
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
