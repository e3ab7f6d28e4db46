//! The retry policy: the reaction to each error that Firestore returns.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::proto::{Code, Status};

/// The time limits of requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestDeadlines {
    /// The limit of one attempt. Without it the client would wait for minutes for a frozen server.
    pub(super) attempt: Duration,
    /// The limit of all attempts of one request together.
    pub(super) request: Duration,
}

/// The response to a request.
#[derive(Debug)]
pub(super) struct Response<T> {
    pub(super) value: T,
    /// True if an earlier attempt, whose answer was lost, may have been carried out.
    pub(super) ambiguous: bool,
}

/// A request that failed and is not retried.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    /// The name of the request and the server's message.
    pub(super) message: String,
    /// True if the request may have been carried out nevertheless.
    pub(super) ambiguous: bool,
}

/// The reaction to an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// Retry. The request was not carried out.
    Retry,
    /// Retry. The request may have been carried out and only its answer lost.
    RetryAmbiguous,
    /// The document is not in the state that the write demanded. The caller reads it.
    Reread,
    /// Fail. A retry would fail in the same way.
    GiveUp,
}

/// The retry policy for each error code of the server or the connection.
const POLICY: [(Code, Recovery); 16] = [
    (Code::Cancelled, Recovery::RetryAmbiguous),
    // The client's code for a connection that broke during a request.
    (Code::Unknown, Recovery::RetryAmbiguous),
    (Code::InvalidArgument, Recovery::GiveUp),
    (Code::DeadlineExceeded, Recovery::RetryAmbiguous),
    (Code::NotFound, Recovery::Reread),
    (Code::AlreadyExists, Recovery::Reread),
    (Code::PermissionDenied, Recovery::GiveUp),
    // Requests are too frequent, or the quota of the day is used up: the next attempt waits.
    (Code::ResourceExhausted, Recovery::Retry),
    (Code::FailedPrecondition, Recovery::Reread),
    // Contention: the emulator returns this if another transaction holds a lock for two seconds.
    (Code::Aborted, Recovery::Retry),
    (Code::OutOfRange, Recovery::GiveUp),
    (Code::Unimplemented, Recovery::GiveUp),
    (Code::Internal, Recovery::RetryAmbiguous),
    (Code::Unavailable, Recovery::RetryAmbiguous),
    (Code::DataLoss, Recovery::GiveUp),
    (Code::Unauthenticated, Recovery::GiveUp),
];

/// Returns the reaction to an error code.
pub(super) fn recovery(code: Code) -> Recovery {
    let row = POLICY.iter().find(|(row, _)| *row == code);
    row.map_or(Recovery::GiveUp, |(_, recovery)| *recovery)
}

/// Returns whether the request was never sent, because no server accepts connections.
fn was_not_sent(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.message().contains("tcp connect error")
}

/// Returns the error of an attempt that exceeded its time limit.
pub(super) fn out_of_time() -> Status {
    Status::deadline_exceeded("no answer in time")
}

/// Sends a request until it succeeds, its error rules out a retry, or the time is up. `name` names the request in
/// error messages.
pub(super) async fn send_with_retries<T, F>(
    name: &str,
    deadlines: RequestDeadlines,
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
            return Err(Failure::new(name, &status, ambiguous));
        }
        let (code, message) = (status.code(), status.message());
        tracing::debug!(attempt = number, ?code, "{name} failed and is retried: {message}");
        sleep(wait).await;
        number += 1;
    }
}

/// Returns the wait after the attempt with this number, counted from one.
pub(super) fn backoff(attempt: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(2);
    let step = FIRST.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    step.min(LONGEST).mul_f64(0.5 + fastrand::f64() / 2.0)
}

impl Failure {
    pub(super) fn new(name: &str, status: &Status, ambiguous: bool) -> Self {
        Self {
            code: status.code(),
            message: format!("{name}: {}", status.message()),
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
    fn every_code_has_a_row() {
        for number in 1..=16 {
            let code = Code::from(number);
            assert!(POLICY.iter().any(|(row, _)| *row == code), "{code:?} has no row");
        }
    }

    const DEADLINES: RequestDeadlines = RequestDeadlines {
        attempt: Duration::from_millis(20),
        request: Duration::from_secs(20),
    };

    /// Sends a request to a server that answers the first attempt with this error and the others with success.
    /// Returns the result and the number of attempts.
    async fn after_one_error(status: Status) -> (Result<Response<()>, Failure>, u32) {
        let attempts = AtomicU32::new(0);
        let answer = send_with_retries("a test", DEADLINES, || async {
            match attempts.fetch_add(1, Relaxed) {
                0 => Err(status.clone()),
                _ => Ok(()),
            }
        });
        (answer.await, attempts.into_inner())
    }

    #[tokio::test]
    async fn each_row_of_the_policy_is_applied() {
        for (code, recovery) in POLICY {
            let (answer, attempts) = after_one_error(Status::new(code, "why")).await;
            match (recovery, answer) {
                (Recovery::Retry, Ok(response)) => assert!(!response.ambiguous, "{code:?}"),
                (Recovery::RetryAmbiguous, Ok(response)) => assert!(response.ambiguous, "{code:?}"),
                (Recovery::Reread | Recovery::GiveUp, Err(failure)) => {
                    assert_eq!((failure.code, failure.ambiguous, attempts), (code, false, 1));
                    assert_eq!(failure.message, "a test: why");
                }
                (_, answer) => panic!("{code:?} led to {answer:?} after {attempts} attempts"),
            }
        }
    }

    #[tokio::test]
    async fn a_request_that_was_never_sent_is_not_ambiguous() {
        let (answer, attempts) = after_one_error(Status::unavailable("tcp connect error")).await;
        assert!(!answer.expect("a response").ambiguous);
        assert_eq!(attempts, 2);
    }

    #[tokio::test]
    async fn an_ambiguous_attempt_makes_the_whole_request_ambiguous() {
        let attempts = AtomicU32::new(0);
        let answer = send_with_retries::<(), _>("a test", DEADLINES, || async {
            match attempts.fetch_add(1, Relaxed) {
                0 => Err(Status::unavailable("broken pipe")),
                _ => Err(Status::failed_precondition("the stored version does not match")),
            }
        });
        let failure = answer.await.expect_err("refused");
        assert!(failure.ambiguous && failure.code == Code::FailedPrecondition);
    }

    #[tokio::test]
    async fn a_server_that_never_answers_fails_the_request_in_time() {
        let deadlines = RequestDeadlines {
            request: Duration::from_millis(200),
            ..DEADLINES
        };
        let attempts = AtomicU32::new(0);
        let answer = send_with_retries::<(), _>("a test", deadlines, || {
            attempts.fetch_add(1, Relaxed);
            pending()
        });
        let failure = answer.await.expect_err("out of time");
        assert_eq!((failure.code, failure.ambiguous), (Code::DeadlineExceeded, true));
        assert!(attempts.into_inner() > 1, "it was retried before");
    }

    #[test]
    fn the_wait_grows_up_to_a_limit() {
        for attempt in 1..100 {
            let wait = backoff(attempt);
            assert!(wait >= Duration::from_millis(25) && wait <= Duration::from_secs(2));
        }
        assert!(backoff(10) >= Duration::from_secs(1));
    }
}
