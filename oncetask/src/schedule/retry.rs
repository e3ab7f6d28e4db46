use std::time::Duration;

use oncetask_recurrence::limits;

use crate::handler::HandlerError;

/// How often, and after how long, a failed task runs again.
///
/// ```
/// use std::time::Duration;
/// use oncetask::{HandlerError, Retry};
///
/// const PATIENT: Retry = Retry::exponential().max_attempts(5).base(Duration::from_secs(2));
///
/// let error = HandlerError::from("no answer");
/// assert_eq!(PATIENT.delay(1, &error), Some(Duration::from_secs(2)));
/// assert_eq!(PATIENT.delay(2, &error), Some(Duration::from_secs(4)));
/// assert_eq!(PATIENT.delay(5, &error), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    max_attempts: Option<u32>,
    backoff: Backoff,
    full_jitter: bool,
}

#[derive(Clone, Copy, Debug)]
enum Backoff {
    Fixed(Duration),
    Exponential {
        base: Duration,
        max: Duration,
        factor: f64,
    },
    Custom(fn(u32, &HandlerError) -> Option<Duration>),
}

impl Retry {
    /// The task fails for good at its first error.
    #[must_use]
    pub const fn never() -> Self {
        Self::new(Backoff::Fixed(Duration::ZERO)).max_attempts(1)
    }

    /// Three attempts, the same delay between them.
    #[must_use]
    pub const fn fixed(delay: Duration) -> Self {
        Self::new(Backoff::Fixed(delay))
    }

    /// Three attempts, the delay doubling from one second up to five minutes.
    #[must_use]
    pub const fn exponential() -> Self {
        Self::new(Backoff::Exponential {
            base: limits::RETRY_BASE,
            max: limits::RETRY_MAX,
            factor: limits::RETRY_FACTOR,
        })
    }

    /// The delay that your function returns for the number of the attempt that failed, counted from one,
    /// and its error; no retry when it returns `None`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use oncetask::{HandlerError, Retry};
    ///
    /// fn only_timeouts(attempt: u32, error: &HandlerError) -> Option<Duration> {
    ///     (attempt < 4 && error.to_string().contains("timed out")).then_some(Duration::from_secs(1))
    /// }
    /// const RETRY: Retry = Retry::custom(only_timeouts);
    /// # assert_eq!(RETRY.delay(1, &HandlerError::from("refused")), None);
    /// # assert!(RETRY.delay(3, &HandlerError::from("timed out")).is_some());
    /// ```
    #[must_use]
    pub const fn custom(delay: fn(u32, &HandlerError) -> Option<Duration>) -> Self {
        Self::new(Backoff::Custom(delay)).unlimited()
    }

    const fn new(backoff: Backoff) -> Self {
        Self {
            max_attempts: Some(limits::RETRY_ATTEMPTS),
            backoff,
            full_jitter: false,
        }
    }

    /// Sets the number of attempts, the first included.
    ///
    /// # Panics
    ///
    /// When it is 0: a task is attempted at least once. In a constant that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        assert!(attempts > 0, "a task is attempted at least once");
        self.max_attempts = Some(attempts);
        self
    }

    /// Retries for ever.
    #[must_use]
    pub const fn unlimited(mut self) -> Self {
        self.max_attempts = None;
        self
    }

    /// Sets the first delay of an exponential backoff.
    #[must_use]
    pub const fn base(mut self, delay: Duration) -> Self {
        if let Backoff::Exponential { ref mut base, .. } = self.backoff {
            *base = delay;
        }
        self
    }

    /// Sets the longest delay of an exponential backoff.
    #[must_use]
    pub const fn max(mut self, delay: Duration) -> Self {
        if let Backoff::Exponential { ref mut max, .. } = self.backoff {
            *max = delay;
        }
        self
    }

    /// Sets the factor of an exponential backoff.
    ///
    /// # Panics
    ///
    /// When it is below 1, or not a number. In a constant that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn factor(mut self, by: f64) -> Self {
        assert!(by >= 1.0, "a factor below 1 would make the delays shrink");
        if let Backoff::Exponential { ref mut factor, .. } = self.backoff {
            *factor = by;
        }
        self
    }

    /// Draws each delay evenly between zero and what the policy says, so that tasks which failed together
    /// do not come back together.
    #[must_use]
    pub const fn full_jitter(mut self) -> Self {
        self.full_jitter = true;
        self
    }

    /// What no order of the setters above could have found.
    #[track_caller]
    pub(crate) const fn check(&self) {
        if let Backoff::Exponential { base, max, .. } = &self.backoff {
            assert!(
                base.as_nanos() <= max.as_nanos(),
                "the first delay of a retry policy is longer than its longest"
            );
        }
    }

    /// The delay after this attempt, counted from one, or `None` if it was the last.
    #[must_use]
    pub fn delay(&self, attempt: u32, error: &HandlerError) -> Option<Duration> {
        if !self.allows_after(attempt) {
            return None;
        }
        let delay = match self.backoff {
            Backoff::Fixed(delay) => delay,
            Backoff::Exponential { base, max, factor } => {
                let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
                let seconds = base.as_secs_f64() * factor.powi(exponent);
                Duration::try_from_secs_f64(seconds).map_or(max, |delay| delay.min(max))
            }
            Backoff::Custom(delay) => delay(attempt, error)?,
        };
        Some(if self.full_jitter {
            delay.mul_f64(fastrand::f64())
        } else {
            delay
        })
    }

    /// Whether the number of attempts allows one more after this one.
    #[must_use]
    pub fn allows_after(&self, attempt: u32) -> bool {
        self.max_attempts.is_none_or(|max| attempt < max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_never_exceeds_the_longest_however_many_attempts_there_were() {
        let retry = Retry::exponential().unlimited();
        let error = HandlerError::from("again");
        let delays: Vec<_> = [1, 2, 3, 9, 10, 1_000, u32::MAX]
            .map(|n| retry.delay(n, &error))
            .to_vec();
        let seconds = [1, 2, 4, 256, 300, 300, 300].map(|s| Some(Duration::from_secs(s)));
        assert_eq!(delays, seconds);
    }

    #[test]
    fn jitter_stays_within_the_delay() {
        let retry = Retry::fixed(Duration::from_secs(8)).unlimited().full_jitter();
        let error = HandlerError::from("again");
        let drawn: Vec<_> = (1..100).filter_map(|n| retry.delay(n, &error)).collect();
        assert!(drawn.iter().all(|delay| *delay <= Duration::from_secs(8)));
        assert!(
            drawn.iter().any(|delay| *delay != drawn[0]),
            "all the same: {:?}",
            drawn[0]
        );
    }
}
