//! The workers of a chaos run: a task type for each promise of the library, and handlers that write every effect
//! to a journal outside of the store.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use oncetask::store::StoreUrl;
use oncetask::{
    Attempt, Client, Context, Handler, HandlerConfig, OnceTask, Outcome, Recurrence, Retry, State, TaskId,
};
use serde::{Deserialize, Serialize};

use super::Kind;
use super::effects::{Call, Phase, Receipt};
use crate::journal::Journal;

const GRACE: Duration = Duration::from_millis(300);
const RETRY_DELAY: Duration = Duration::from_millis(50);
/// The number of attempts of a task that always fails.
pub(crate) const DOOMED_ATTEMPTS: u32 = 3;
/// The environment of all tasks.
pub(crate) const ENV: &str = "CHAOS";

/// The difference between the number of a task that a handler creates and the number of its parent.
pub(crate) const CHILDREN: u32 = 1_000_000;

/// A task whose handler works for `millis` milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("plain:{number}")]
pub(crate) struct Plain {
    pub(crate) number: u32,
    pub(crate) millis: u64,
}

/// A task whose first attempts fail.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("flaky:{number}")]
pub(crate) struct Flaky {
    pub(crate) number: u32,
    pub(crate) failures: u32,
}

/// A task whose every attempt fails.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("doomed:{number}")]
pub(crate) struct Doomed {
    pub(crate) number: u32,
}

/// A task with a resource key.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("keyed:{key}:{number}")]
#[resource_key("{key}")]
pub(crate) struct Keyed {
    pub(crate) key: u32,
    pub(crate) number: u32,
    pub(crate) millis: u64,
}

/// A task that runs in a group with others of its key.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("grouped:{key}:{number}")]
#[resource_key("{key}")]
pub(crate) struct Grouped {
    pub(crate) key: u32,
    pub(crate) number: u32,
}

/// A task that is due later than its creation.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("delayed:{number}")]
pub(crate) struct Delayed {
    pub(crate) number: u32,
    #[run_at]
    pub(crate) at: DateTime<Utc>,
}

/// A generator with an occurrence every second.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("ticker:{number}")]
pub(crate) struct Ticker {
    pub(crate) number: u32,
    #[recurrence]
    pub(crate) every: Recurrence,
}

/// A task that is cancelled, with a cleanup handler.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("cancelled:{number}")]
pub(crate) struct Cancelled {
    pub(crate) number: u32,
    pub(crate) millis: u64,
    /// True if the handler ignores the signal to stop.
    pub(crate) ignores_signal: bool,
}

/// A task whose handler creates another task.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("parent:{number}")]
pub(crate) struct Parent {
    pub(crate) number: u32,
}

/// Runs a worker until it is terminated.
///
/// # Errors
///
/// Returns an error if the store cannot be opened, for example because its disk is full.
pub async fn worker(store: &StoreUrl, journal: &Path) -> Result<(), oncetask::Error> {
    let kind = match store {
        StoreUrl::Firestore { .. } => Kind::Firestore,
        _ => Kind::Sqlite,
    };
    let client = Client::open_in(store.clone(), ENV).await?;
    let retry = Retry::fixed(RETRY_DELAY).unlimited();
    let config = HandlerConfig::DEFAULT
        .concurrency(6)
        .retry(retry)
        .on_cancel_retry(retry);
    let doomed = config.retry(Retry::fixed(RETRY_DELAY).max_attempts(DOOMED_ATTEMPTS));
    oncetask::builder()
        .only(&[])
        .client(client)
        .state(Journal::new(journal.to_owned()))
        .heartbeat(kind.heartbeat())
        .grace(GRACE)
        .handler(Handler::new(plain).config(config))
        .handler(Handler::new(flaky).config(config))
        .handler(Handler::new(fail).config(doomed))
        .handler(Handler::new(keyed).config(config))
        .handler(Handler::new(grouped).config(config.max_group(10)))
        .handler(Handler::new(delayed).config(config))
        .handler(Handler::new(tick).config(config.concurrency(12)))
        .handler(Handler::new(cancelled).on_cancel(clean_up).config(config))
        .handler(Handler::new(parent).config(config))
        .run()
        .await
}

type Done = oncetask::Result<Receipt>;

/// Works for this number of milliseconds and completes the task.
async fn complete<T: OnceTask>(attempt: &Attempt<T>, journal: &Journal, millis: u64) -> Done {
    let call = Call::begin(journal, Phase::Run, [(&attempt.id, attempt.attempt)]);
    call.work(millis).await;
    Ok(call.end())
}

async fn plain(attempt: Attempt<Plain>, journal: State<Journal>) -> Done {
    complete(&attempt, &journal, attempt.millis).await
}

async fn keyed(attempt: Attempt<Keyed>, journal: State<Journal>) -> Done {
    complete(&attempt, &journal, attempt.millis).await
}

async fn delayed(attempt: Attempt<Delayed>, journal: State<Journal>) -> Done {
    complete(&attempt, &journal, 10).await
}

async fn tick(attempt: Attempt<Ticker>, journal: State<Journal>) -> Done {
    complete(&attempt, &journal, 20).await
}

async fn flaky(attempt: Attempt<Flaky>, journal: State<Journal>) -> Done {
    let call = Call::begin(&journal, Phase::Run, [(&attempt.id, attempt.attempt)]);
    call.work(30).await;
    if attempt.attempt <= attempt.failures {
        return Err(call.fail());
    }
    Ok(call.end())
}

async fn fail(attempt: Attempt<Doomed>, journal: State<Journal>) -> Done {
    let call = Call::begin(&journal, Phase::Run, [(&attempt.id, attempt.attempt)]);
    call.work(20).await;
    Err(call.fail())
}

/// Fails the first attempt of every third task of a group, and completes the others.
async fn grouped(attempts: Vec<Attempt<Grouped>>, journal: State<Journal>) -> oncetask::Result<Vec<Outcome>> {
    let tasks = attempts.iter().map(|attempt| (&attempt.id, attempt.attempt));
    let call = Call::begin(&journal, Phase::Run, tasks);
    call.work(60).await;
    let outcome = |(index, attempt): (usize, &Attempt<Grouped>)| {
        if attempt.attempt == 1 && attempt.number.is_multiple_of(3) {
            Outcome::error(call.fail_one(index))
        } else {
            Outcome::done(&call.end_one(index))
        }
    };
    Ok(attempts.iter().enumerate().map(outcome).collect())
}

async fn cancelled(attempt: Attempt<Cancelled>, journal: State<Journal>, cx: Context) -> Done {
    let call = Call::begin(&journal, Phase::Run, [(&attempt.id, attempt.attempt)]);
    let signal = async {
        if attempt.ignores_signal {
            std::future::pending::<()>().await;
        } else {
            cx.cancelled().await;
        }
    };
    if ends_first(call.work(attempt.millis), signal).await {
        Ok(call.end())
    } else {
        Err(call.fail())
    }
}

async fn ends_first(work: impl Future<Output = ()>, signal: impl Future<Output = ()>) -> bool {
    tokio::select! {
        () = work => true,
        () = signal => false,
    }
}

/// Fails the first cleanup of every third task.
async fn clean_up(attempt: Attempt<Cancelled>, journal: State<Journal>) -> oncetask::Result {
    let call = Call::begin(&journal, Phase::Cleanup, [(&attempt.id, attempt.attempt)]);
    call.work(40).await;
    if attempt.attempt == 1 && attempt.number.is_multiple_of(3) {
        return Err(call.fail());
    }
    call.end();
    Ok(())
}

async fn parent(attempt: Attempt<Parent>, client: Client, journal: State<Journal>) -> Done {
    let call = Call::begin(&journal, Phase::Run, [(&attempt.id, attempt.attempt)]);
    let child = Plain {
        number: CHILDREN + attempt.number,
        millis: 5,
    };
    let enqueued = client.create(child).await?;
    call.created(enqueued.id());
    Ok(call.end())
}

/// Returns the resource of a task: its key, or else its id. Calls of one resource must not overlap.
pub(crate) fn resource(id: &TaskId) -> &str {
    let id = id.as_str();
    let is_keyed = id.starts_with("keyed:") || id.starts_with("grouped:");
    match id.rsplit_once(':') {
        Some((key, _)) if is_keyed => key,
        _ => id,
    }
}
