//! What follows when Firestore answers a request with an error.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::proto::{Code, Status};

/// How long requests may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// One attempt: the client itself would wait for minutes on a server that froze.
    pub(super) attempt: Duration,
    /// All attempts of one request.
    pub(super) request: Duration,
}

/// An answer, and whether an earlier attempt may have been carried out before the one that was answered.
#[derive(Debug)]
pub(super) struct Response<T> {
    pub(super) value: T,
    pub(super) ambiguous: bool,
}

/// A request that failed for good.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    /// What was asked for, and the server's words.
    pub(super) message: String,
    /// Whether the server may have done it all the same.
    pub(super) ambiguous: bool,
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// Ask again: it was not done.
    Retry,
    /// Ask again: it may have been done, and only the answer was lost.
    RetryAmbiguous,
    /// The document is not in the state that the write demanded. The caller looks.
    Reread,
    /// It will not heal by itself.
    GiveUp,
}

/// The retry policy, for each code that the server or the connection may answer with.
pub(super) const TABLE: [(Code, Recovery); 16] = [
    (Code::Cancelled, Recovery::RetryAmbiguous),
    // What the client makes of a connection that broke under a request.
    (Code::Unknown, Recovery::RetryAmbiguous),
    (Code::InvalidArgument, Recovery::GiveUp),
    (Code::DeadlineExceeded, Recovery::RetryAmbiguous),
    (Code::NotFound, Recovery::Reread),
    (Code::AlreadyExists, Recovery::Reread),
    (Code::PermissionDenied, Recovery::GiveUp),
    // Too fast, or the quota of the day; the next attempt waits.
    (Code::ResourceExhausted, Recovery::Retry),
    (Code::FailedPrecondition, Recovery::Reread),
    // Contention: the emulator says so when a transaction of somebody else holds a lock for two seconds.
    (Code::Aborted, Recovery::Retry),
    (Code::OutOfRange, Recovery::GiveUp),
    (Code::Unimplemented, Recovery::GiveUp),
    (Code::Internal, Recovery::RetryAmbiguous),
    (Code::Unavailable, Recovery::RetryAmbiguous),
    (Code::DataLoss, Recovery::GiveUp),
    (Code::Unauthenticated, Recovery::GiveUp),
];

pub(super) fn recovery(code: Code) -> Recovery {
    let row = TABLE.iter().find(|(of, _)| *of == code);
    row.map_or(Recovery::GiveUp, |(_, recovery)| *recovery)
}

/// Whether the client itself says that the request was never sent, as it does when nobody listens.
pub(super) fn was_not_sent(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.message().contains("tcp connect error")
}

pub(super) fn out_of_time() -> Status {
    Status::deadline_exceeded("no answer in time")
}

/// Sends a request until it is answered, or an answer says that it is no use, or deadlines is out.
pub(super) async fn repeat<T, F>(
    what: &str,
    deadlines: Deadlines,
    attempt: impl Fn() -> F,
) -> Result<Response<T>, Failure>
where
    F: Future<Output = Result<T, Status>>,
{
    let give_up = Instant::now() + deadlines.request;
    let mut ambiguous = false;
    let mut number = 1;
    loop {
        let answer = timeout(deadlines.attempt, attempt()).await;
        let status = match answer.unwrap_or_else(|_| Err(out_of_time())) {
            Ok(value) => return Ok(Response { value, ambiguous }),
            Err(status) => status,
        };
        let next = recovery(status.code());
        ambiguous |= next == Recovery::RetryAmbiguous && !was_not_sent(&status);
        let wait = backoff(number);
        if matches!(next, Recovery::Reread | Recovery::GiveUp) || Instant::now() + wait >= give_up {
            return Err(Failure::new(what, &status, ambiguous));
        }
        let (code, message) = (status.code(), status.message());
        tracing::debug!(
            attempt = number,
            ?code,
            "{what} failed and is repeated: {message}"
        );
        sleep(wait).await;
        number += 1;
    }
}

/// How long to wait before the attempt of this number, counted from one.
pub(super) fn backoff(attempt: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(2);
    let step = FIRST.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    step.min(LONGEST).mul_f64(0.5 + fastrand::f64() / 2.0)
}

impl Failure {
    pub(super) fn new(what: &str, status: &Status, ambiguous: bool) -> Self {
        Self {
            code: status.code(),
            message: format!("{what}: {}", status.message()),
            ambiguous,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[test]
    fn every_code_has_its_row() {
        for number in 1..=16 {
            let code = Code::from(number);
            assert!(TABLE.iter().any(|(of, _)| *of == code), "{code:?} has no row");
        }
    }

    const PATIENCE: Deadlines = Deadlines {
        attempt: Duration::from_millis(20),
        request: Duration::from_secs(20),
    };

    /// A server that answers its first request with this error, and the others well.
    async fn after_one(status: Status) -> (Result<Response<()>, Failure>, u32) {
        let asked = AtomicU32::new(0);
        let answer = repeat("a test", PATIENCE, || async {
            match asked.fetch_add(1, Relaxed) {
                0 => Err(status.clone()),
                _ => Ok(()),
            }
        });
        (answer.await, asked.into_inner())
    }

    #[tokio::test]
    async fn each_row_is_followed() {
        for (code, recovery) in TABLE {
            let (answer, asked) = after_one(Status::new(code, "why")).await;
            match (recovery, answer) {
                (Recovery::Retry, Ok(reply)) => assert!(!reply.ambiguous, "{code:?}"),
                (Recovery::RetryAmbiguous, Ok(reply)) => assert!(reply.ambiguous, "{code:?}"),
                (Recovery::Reread | Recovery::GiveUp, Err(failure)) => {
                    assert_eq!((failure.code, failure.ambiguous, asked), (code, false, 1));
                    assert_eq!(failure.message, "a test: why");
                }
                (_, answer) => panic!("{code:?} led to {answer:?} after {asked} requests"),
            }
        }
    }

    #[tokio::test]
    async fn what_was_never_sent_leaves_no_doubt() {
        let (answer, asked) = after_one(Status::unavailable("tcp connect error")).await;
        assert!(!answer.expect("repeated").ambiguous);
        assert_eq!(asked, 2);
    }

    #[tokio::test]
    async fn a_doubt_outlives_a_clear_answer() {
        let asked = AtomicU32::new(0);
        let answer = repeat::<(), _>("a test", PATIENCE, || async {
            match asked.fetch_add(1, Relaxed) {
                0 => Err(Status::unavailable("broken pipe")),
                _ => Err(Status::failed_precondition("the stored version does not match")),
            }
        });
        let failure = answer.await.expect_err("refused");
        assert!(failure.ambiguous && failure.code == Code::FailedPrecondition);
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        let deadlines = Deadlines {
            request: Duration::from_millis(200),
            ..PATIENCE
        };
        let asked = AtomicU32::new(0);
        let answer = repeat::<(), _>("a test", deadlines, || {
            asked.fetch_add(1, Relaxed);
            pending()
        });
        let failure = answer.await.expect_err("given up");
        assert_eq!((failure.code, failure.ambiguous), (Code::DeadlineExceeded, true));
        assert!(asked.into_inner() > 1, "it was tried again before");
    }

    #[test]
    fn waits_grow_to_a_limit() {
        for attempt in 1..100 {
            let wait = backoff(attempt);
            assert!(wait >= Duration::from_millis(25) && wait <= Duration::from_secs(2));
        }
        assert!(backoff(10) >= Duration::from_secs(1));
    }
}
