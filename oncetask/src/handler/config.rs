use std::time::Duration;

use oncetask_recurrence::limits;

use super::Retry;

/// The configuration of a handler.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use oncetask::{HandlerConfig, Retry};
///
/// const CONFIG: HandlerConfig = HandlerConfig::DEFAULT
///     .retry(Retry::exponential().max_attempts(8))
///     .lease(Duration::from_secs(60))
///     .concurrency(20);
/// # assert_eq!(CONFIG.concurrency, 20);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HandlerConfig {
    /// The retry policy of the handler.
    pub retry: Retry,
    /// The retry policy of the cleanup handler.
    pub on_cancel_retry: Retry,
    /// The maximum duration of one attempt. A handler that runs longer is stopped, and its attempt fails. The
    /// delay after a crash is not this duration but the worker's
    /// [heartbeat](crate::WorkerBuilder::heartbeat).
    pub lease: Duration,
    /// The maximum number of concurrent calls of the handler in this process.
    pub concurrency: u32,
    /// The maximum number of tasks of one resource key in one call of a grouped handler.
    pub max_group: u32,
}

impl HandlerConfig {
    /// The default configuration: exponential backoff with 3 attempts (5 for the cleanup handler, with at
    /// most 10 minutes between them), a lease of 10 minutes, a concurrency of 1 and groups of up to 100
    /// tasks.
    pub const DEFAULT: Self = Self {
        retry: Retry::exponential(),
        on_cancel_retry: Retry::exponential().max_attempts(5).max(Duration::from_mins(10)),
        lease: Duration::from_mins(10),
        concurrency: 1,
        max_group: 100,
    };

    /// Sets the retry policy.
    ///
    /// # Panics
    ///
    /// Panics if the first delay of the policy is longer than its maximum. In a constant that is a compile
    /// error.
    #[must_use]
    #[track_caller]
    pub const fn retry(mut self, retry: Retry) -> Self {
        retry.check();
        self.retry = retry;
        self
    }

    /// Sets the retry policy of the cleanup handler.
    ///
    /// # Panics
    ///
    /// Panics if the first delay of the policy is longer than its maximum. In a constant that is a compile
    /// error.
    #[must_use]
    #[track_caller]
    pub const fn on_cancel_retry(mut self, retry: Retry) -> Self {
        retry.check();
        self.on_cancel_retry = retry;
        self
    }

    /// Sets the maximum duration of one attempt.
    ///
    /// # Panics
    ///
    /// Panics if the lease is shorter than a second or longer than a day. In a constant that is a compile
    /// error.
    #[must_use]
    #[track_caller]
    pub const fn lease(mut self, lease: Duration) -> Self {
        assert!(
            lease.as_nanos() >= limits::MIN_LEASE.as_nanos(),
            "the lease must last at least a second"
        );
        assert!(
            lease.as_nanos() <= limits::MAX_LEASE.as_nanos(),
            "the lease must last at most a day"
        );
        self.lease = lease;
        self
    }

    /// Sets the maximum number of concurrent calls in this process.
    ///
    /// # Panics
    ///
    /// Panics if it is 0. In a constant that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn concurrency(mut self, concurrency: u32) -> Self {
        assert!(concurrency > 0, "the concurrency must be at least 1");
        self.concurrency = concurrency;
        self
    }

    /// Sets the maximum number of tasks in one call of a grouped handler.
    ///
    /// # Panics
    ///
    /// Panics if it is 0. In a constant that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn max_group(mut self, max_group: u32) -> Self {
        assert!(max_group > 0, "a group has at least 1 task");
        self.max_group = max_group;
        self
    }
}

impl Default for HandlerConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}
