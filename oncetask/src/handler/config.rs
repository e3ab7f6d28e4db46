use std::time::Duration;

use oncetask_recurrence::limits;

use crate::schedule::Retry;

/// How the runtime drives the handler of a task type.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HandlerConfig {
    /// How a failed task is retried.
    pub retry: Retry,
    /// How a failed cleanup handler is retried.
    pub on_cancel_retry: Retry,
    /// The longest that one attempt may hold its task: when it ends, the handler is stopped and the attempt
    /// has failed. Not what a crash costs: that is the runtime's heartbeat.
    pub lease: Duration,
    /// How many calls of the handler this process runs at once.
    pub concurrency: u32,
    /// How many tasks of one resource key a grouped handler takes in a call.
    pub max_group: u32,
}

impl HandlerConfig {
    /// Exponential retry with 3 attempts (5 for the cleanup handler, up to 10 minutes apart), a lease of 10
    /// minutes, one call at a time, groups of up to 100.
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
    /// When its first delay is longer than its longest. In a constant that is a compile error.
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
    /// When its first delay is longer than its longest. In a constant that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn on_cancel_retry(mut self, retry: Retry) -> Self {
        retry.check();
        self.on_cancel_retry = retry;
        self
    }

    /// Sets the lease.
    ///
    /// # Panics
    ///
    /// When it is shorter than a second or longer than a day. In a constant that is a compile error.
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

    /// Sets the concurrency.
    ///
    /// # Panics
    ///
    /// When it is 0. In a constant that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn concurrency(mut self, concurrency: u32) -> Self {
        assert!(concurrency > 0, "the concurrency must be at least 1");
        self.concurrency = concurrency;
        self
    }

    /// Sets the size of a group.
    ///
    /// # Panics
    ///
    /// When it is 0. In a constant that is a compile error.
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
