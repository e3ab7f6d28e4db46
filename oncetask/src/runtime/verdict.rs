//! What follows from what a handler said.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::panics;
use crate::client::MAX_JSON_BYTES;
use crate::handler::{HandlerError, HandlerOutcome, Outcome, Signal};
use crate::schedule::Retry;
use crate::task::Json;
use crate::task::transition::Verdict;

/// The verdict on an attempt, counted from one.
pub(super) fn verdict(
    outcome: Result<Option<Json>, HandlerError>,
    attempt: u32,
    retry: &Retry,
    now: DateTime<Utc>,
) -> Verdict {
    match outcome.and_then(storable) {
        Ok(result) => Verdict::Complete(result),
        Err(error) => {
            let verdict = failure(&error, attempt, retry, now);
            // Its end is the user's code as well.
            if let Err(panic) = panics::catch(|| drop(error)) {
                tracing::error!(%panic, "an error panicked when it was dropped");
            }
            verdict
        }
    }
}

fn failure(error: &HandlerError, attempt: u32, retry: &Retry, now: DateTime<Utc>) -> Verdict {
    // What an error says, and what a policy makes of it, is the user's code.
    let text = panics::catch(|| error.chain())
        .unwrap_or_else(|panic| format!("an error whose text cannot be had: it {panic}"));
    let delay = match error.signal() {
        Signal::Snooze(delay) => {
            return Verdict::Snooze {
                at: later(now, delay),
            };
        }
        Signal::Cancel => return Verdict::Cancel { reason: text },
        Signal::Permanent => None,
        Signal::RetryAfter(delay) => retry.allows_after(attempt).then_some(delay),
        Signal::Retry => match panics::catch(|| retry.delay(attempt, error)) {
            Ok(delay) => delay,
            Err(panic) => {
                return Verdict::Fail {
                    error: format!("{text}; and the retry policy {panic}"),
                };
            }
        },
    };
    match delay {
        Some(delay) => Verdict::Retry {
            at: later(now, delay),
            error: text,
        },
        None => Verdict::Fail { error: text },
    }
}

/// One outcome for each task of a call, in order.
pub(super) fn outcomes(
    reply: HandlerOutcome,
    tasks: usize,
) -> impl Iterator<Item = Result<Option<Json>, HandlerError>> {
    let (each, same) = match reply {
        HandlerOutcome::Each(outcomes) if outcomes.len() == tasks => (outcomes, None),
        HandlerOutcome::Each(outcomes) => {
            let error = format!(
                "the handler took {tasks} tasks and returned {} outcomes: there has to be one for each, in order",
                outcomes.len()
            );
            (Vec::new(), Some(Err(error.into())))
        }
        HandlerOutcome::All(outcome) => (Vec::new(), Some(outcome)),
    };
    // The last gets the outcome itself: who is given an error sees to its end, which is the user's code.
    let mut left = if same.is_some() { tasks } else { 0 };
    let mut same = same;
    let same = std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        match &same {
            Some(Ok(result)) if left > 0 => Some(Ok(result.clone())),
            Some(Err(error)) if left > 0 => Some(Err(error.again())),
            _ => same.take(),
        }
    });
    each.into_iter().map(|Outcome(outcome)| outcome).chain(same)
}

/// An instant this long from now, or the last one there is.
pub(super) fn later(now: DateTime<Utc>, delay: Duration) -> DateTime<Utc> {
    const LAST: i64 = 253_402_300_799; // the end of the year 9999, the last that every store can write
    let last = DateTime::from_timestamp(LAST, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let delay = chrono::TimeDelta::from_std(delay).ok();
    delay
        .and_then(|delay| now.checked_add_signed(delay))
        .map_or(last, |at| at.min(last))
}

/// A result too large for a store would be lost with its task: it fails the attempt instead.
fn storable(result: Option<Json>) -> Result<Option<Json>, HandlerError> {
    match result.as_ref().map(|json| json.as_str().len()) {
        Some(bytes) if bytes > MAX_JSON_BYTES => Err(HandlerError::from(format!(
            "the result has {bytes} bytes, and {MAX_JSON_BYTES} is the limit; store it elsewhere and return its address"
        ))),
        _ => Ok(result),
    }
}
