//! Handlers of [`Work`] that report to their test, and retry policies without long waits.

use std::time::Duration;

use oncetask::{Attempt, Context, Handler, HandlerConfig, HandlerError, Retry};

use super::reports::{Gate, Reporter};
use super::tasks::Work;

/// Returns a configuration with this number of attempts, retried after 1 ms.
#[must_use]
pub fn attempts(max: u32) -> HandlerConfig {
    HandlerConfig::DEFAULT.retry(retry_at_once(max))
}

/// Returns a policy of this number of attempts, retried after 1 ms.
#[must_use]
pub fn retry_at_once(max: u32) -> Retry {
    Retry::fixed(Duration::from_millis(1)).max_attempts(max)
}

/// Returns a handler that reports its task's name and attempt, and completes with the name when the gate opens.
#[must_use]
pub fn gated_handler(reporter: Reporter<(String, u32)>, gate: Gate) -> Handler {
    Handler::new(move |attempt: Attempt<Work>| {
        let (reporter, gate) = (reporter.clone(), gate.clone());
        async move {
            reporter.report((attempt.name.clone(), attempt.attempt));
            gate.opened().await;
            Ok::<_, HandlerError>(attempt.name.clone())
        }
    })
}

/// Returns a handler that reports its task's name and completes.
#[must_use]
pub fn name_reporting_handler(reporter: Reporter<String>) -> Handler {
    Handler::new(move |task: Work| {
        let reporter = reporter.clone();
        async move { reporter.report(task.name) }
    })
}

/// Returns a handler that runs until it is signalled to stop. Reports `began` and then `stopping`.
#[must_use]
pub fn stop_reporting_handler(reporter: Reporter<&'static str>) -> Handler {
    Handler::new(move |_: Work, cx: Context| {
        let reporter = reporter.clone();
        async move {
            reporter.report("began");
            cx.cancelled().await;
            reporter.report("stopping");
            Err::<(), _>(HandlerError::from("stopped"))
        }
    })
}
