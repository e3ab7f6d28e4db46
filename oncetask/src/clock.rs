use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::task::whole_millis;

/// What tells a program the time.
///
/// Leases are compared with the clocks of the workers, so these should agree to within a second or two; see
/// the chapter on operating. Programs use [`Clock::system`], the default; a test may have its own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// The computer's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Utc::now)
    }

    /// A clock that a function reads.
    #[must_use]
    pub fn new(read: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The time, in whole milliseconds as every instant of a task is.
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
