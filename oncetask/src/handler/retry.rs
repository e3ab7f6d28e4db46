//! Retry policies.

use std::time::Duration;

use oncetask_recurrence::limits;

use super::HandlerError;

/// A retry policy: the number of attempts, and the delay before each of them.
///
/// # Examples
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
    /// Returns a policy with one attempt: the first error fails the task.
    #[must_use]
    pub const fn never() -> Self {
        Self::new(Backoff::Fixed(Duration::ZERO)).max_attempts(1)
    }

    /// Returns a policy with three attempts and the same delay between them.
    #[must_use]
    pub const fn fixed(delay: Duration) -> Self {
        Self::new(Backoff::Fixed(delay))
    }

    /// Returns a policy with three attempts and a delay that doubles from one second up to five minutes.
    #[must_use]
    pub const fn exponential() -> Self {
        Self::new(Backoff::Exponential {
            base: limits::RETRY_BASE,
            max: limits::RETRY_MAX,
            factor: limits::RETRY_FACTOR,
        })
    }

    /// Returns a policy that calls a function with the number of the failed attempt, counted from one, and
    /// its error. The function returns the delay before the next attempt, or `None` for no retry.
    ///
    /// The number of attempts has no other limit unless [`max_attempts`](Self::max_attempts) sets one.
    ///
    /// # Examples
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

    /// Sets the number of attempts, including the first.
    ///
    /// # Panics
    ///
    /// Panics if it is 0, because a task is attempted at least once. In a constant that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        assert!(attempts > 0, "a task is attempted at least once");
        self.max_attempts = Some(attempts);
        self
    }

    /// Removes the limit on the number of attempts.
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

    /// Sets the maximum delay of an exponential backoff.
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
    /// Panics if it is below 1 or not a number. In a constant that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn factor(mut self, by: f64) -> Self {
        assert!(by >= 1.0, "a factor below 1 would make the delays shrink");
        if let Backoff::Exponential { ref mut factor, .. } = self.backoff {
            *factor = by;
        }
        self
    }

    /// Makes each delay random, uniformly between zero and the delay of the policy, so that tasks that failed
    /// together are not retried together.
    #[must_use]
    pub const fn full_jitter(mut self) -> Self {
        self.full_jitter = true;
        self
    }

    /// Checks the relation of the base and the maximum, which the setters cannot check because they may be
    /// called in any order.
    #[track_caller]
    pub(crate) const fn check(&self) {
        if let Backoff::Exponential { base, max, .. } = &self.backoff {
            assert!(
                base.as_nanos() <= max.as_nanos(),
                "the first delay of a retry policy is longer than its maximum"
            );
        }
    }

    /// Returns the delay after this attempt, counted from one, or `None` if it was the last.
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

    /// Returns whether the limit on the number of attempts allows one more after this one.
    #[must_use]
    pub fn allows_after(&self, attempt: u32) -> bool {
        self.max_attempts.is_none_or(|max| attempt < max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_never_exceeds_the_maximum() {
        let retry = Retry::exponential().unlimited();
        let error = HandlerError::from("again");
        let delays: Vec<_> = [1, 2, 3, 9, 10, 1_000, u32::MAX]
            .map(|n| retry.delay(n, &error))
            .to_vec();
        let seconds = [1, 2, 4, 256, 300, 300, 300].map(|s| Some(Duration::from_secs(s)));
        assert_eq!(delays, seconds);
    }

    #[test]
    fn jitter_draws_different_delays_up_to_the_delay_of_the_policy() {
        let retry = Retry::fixed(Duration::from_secs(8)).unlimited().full_jitter();
        let error = HandlerError::from("again");
        let drawn: Vec<_> = (1..100).filter_map(|n| retry.delay(n, &error)).collect();
        assert!(drawn.iter().all(|delay| *delay <= Duration::from_secs(8)));
        assert!(
            drawn.iter().any(|delay| *delay != drawn[0]),
            "all delays are equal: {:?}",
            drawn[0]
        );
    }
}
