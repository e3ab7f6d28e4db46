//! What follows when Firestore answers a request with an error.

use std::time::Duration;

use super::proto::{Code, Status};

/// A request that failed for good.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    /// What was asked for, and the server's words.
    pub(super) message: String,
    /// Whether the server may have done it all the same.
    pub(super) doubtful: bool,
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Ask again: it was not done.
    Repeat,
    /// Ask again: it may have been done, and only the answer was lost.
    RepeatInDoubt,
    /// The document is not in the state that the write demanded. The caller looks.
    Look,
    /// It will not heal by itself.
    Stop,
}

/// The retry policy, for each code that the server or the connection may answer with.
pub(super) const TABLE: [(Code, Remedy); 16] = [
    (Code::Cancelled, Remedy::RepeatInDoubt),
    // What the client makes of a connection that broke under a request.
    (Code::Unknown, Remedy::RepeatInDoubt),
    (Code::InvalidArgument, Remedy::Stop),
    (Code::DeadlineExceeded, Remedy::RepeatInDoubt),
    (Code::NotFound, Remedy::Look),
    (Code::AlreadyExists, Remedy::Look),
    (Code::PermissionDenied, Remedy::Stop),
    // Too fast, or the quota of the day; the next attempt waits.
    (Code::ResourceExhausted, Remedy::Repeat),
    (Code::FailedPrecondition, Remedy::Look),
    // Contention: the emulator says so when a transaction of somebody else holds a lock for two seconds.
    (Code::Aborted, Remedy::Repeat),
    (Code::OutOfRange, Remedy::Stop),
    (Code::Unimplemented, Remedy::Stop),
    (Code::Internal, Remedy::RepeatInDoubt),
    (Code::Unavailable, Remedy::RepeatInDoubt),
    (Code::DataLoss, Remedy::Stop),
    (Code::Unauthenticated, Remedy::Stop),
];

pub(super) fn remedy(code: Code) -> Remedy {
    let row = TABLE.iter().find(|(of, _)| *of == code);
    row.map_or(Remedy::Stop, |(_, remedy)| *remedy)
}

/// Whether the client itself says that the request was never sent, as it does when nobody listens.
pub(super) fn was_not_sent(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.message().contains("tcp connect error")
}

/// How long to wait before the attempt of this number, counted from one.
pub(super) fn backoff(attempt: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(2);
    let step = FIRST.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    step.min(LONGEST).mul_f64(0.5 + fastrand::f64() / 2.0)
}

impl Failure {
    pub(super) fn new(what: &str, status: &Status, doubtful: bool) -> Self {
        Self {
            code: status.code(),
            message: format!("{what}: {}", status.message()),
            doubtful,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_row() {
        for number in 1..=16 {
            let code = Code::from(number);
            assert!(TABLE.iter().any(|(of, _)| *of == code), "{code:?} has no row");
        }
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
