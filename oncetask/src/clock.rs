//! The clock of clients and workers.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::task::whole_millis;

/// The source of the current time.
///
/// Workers compare leases with their own clocks, so these clocks should agree to within two seconds; see the
/// chapter on [operating](crate::guide::operating). Programs use [`Clock::system`], the default. A test may use a
/// clock of its own.
///
/// ```
/// use chrono::DateTime;
/// use oncetask::{Client, Clock};
///
/// let client = Client::in_memory().with_clock(Clock::new(|| DateTime::UNIX_EPOCH));
/// assert_eq!(client.clock().now(), DateTime::UNIX_EPOCH);
/// ```
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// Returns the computer's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Utc::now)
    }

    /// Returns a clock that calls a function for the time.
    #[must_use]
    pub fn new(read: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Returns the time in whole milliseconds, the resolution of every instant of a task.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        whole_millis((self.0)())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
