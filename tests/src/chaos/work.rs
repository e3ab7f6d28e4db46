//! What the workers do: a task type for each thing that the library promises, and handlers that write down
//! every effect, outside of any store.

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
/// The attempts of a task that always fails.
pub(crate) const DOOMED_ATTEMPTS: u32 = 3;
/// The environment of all tasks.
pub(crate) const ENV: &str = "CHAOS";

/// A task that a handler creates has the number of its parent and this.
pub(crate) const CHILDREN: u32 = 1_000_000;

/// Works for a while.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("plain:{number}")]
pub(crate) struct Plain {
    pub(crate) number: u32,
    pub(crate) millis: u64,
}

/// Fails so many times first.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("flaky:{number}")]
pub(crate) struct Flaky {
    pub(crate) number: u32,
    pub(crate) failures: u32,
}

/// Always fails.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("doomed:{number}")]
pub(crate) struct Doomed {
    pub(crate) number: u32,
}

/// Runs beside no other one of its key.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("keyed:{key}:{number}")]
#[resource_key("{key}")]
pub(crate) struct Keyed {
    pub(crate) key: u32,
    pub(crate) number: u32,
    pub(crate) millis: u64,
}

/// Runs together with others of its key.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("grouped:{key}:{number}")]
#[resource_key("{key}")]
pub(crate) struct Grouped {
    pub(crate) key: u32,
    pub(crate) number: u32,
}

/// Runs at an instant, not before.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("delayed:{number}")]
pub(crate) struct Delayed {
    pub(crate) number: u32,
    #[run_at]
    pub(crate) at: DateTime<Utc>,
}

/// A generator of fast occurrences.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("ticker:{number}")]
pub(crate) struct Ticker {
    pub(crate) number: u32,
    #[recurrence]
    pub(crate) every: Recurrence,
}

/// Is cancelled, and cleaned up after. A deaf one goes on when it is told to stop.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("cancelled:{number}")]
pub(crate) struct Cancelled {
    pub(crate) number: u32,
    pub(crate) millis: u64,
    pub(crate) deaf: bool,
}

/// Creates another task while it runs.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("parent:{number}")]
pub(crate) struct Parent {
    pub(crate) number: u32,
}

/// Runs a worker until it is told to stop, or killed.
///
/// # Errors
///
/// When the store cannot be opened: its disk may be full, or it may not answer.
pub async fn worker(store: &StoreUrl, journal: &Path) -> Result<(), oncetask::Error> {
    let kind = match store {
        StoreUrl::Firestore { .. } => Kind::Firestore,
        _ => Kind::Sqlite,
    };
    let client = Client::open_in(store.clone(), ENV).await?;
    let again = Retry::fixed(Duration::from_millis(50)).unlimited();
    let config = HandlerConfig::DEFAULT
        .concurrency(6)
        .retry(again)
        .on_cancel_retry(again);
    let doomed = config.retry(Retry::fixed(Duration::from_millis(50)).max_attempts(DOOMED_ATTEMPTS));
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
        .handler(Handler::new(stoppable).on_cancel(clean_up).config(config))
        .handler(Handler::new(parent).config(config))
        .run()
        .await
}

type Done = oncetask::Result<Receipt>;

/// A call that completes its task when the work is done.
async fn complete<T: OnceTask>(job: &Attempt<T>, journal: &Journal, millis: u64) -> Done {
    let call = Call::begin(journal, Phase::Run, [(&job.id, job.attempt)]);
    call.work(millis).await;
    Ok(call.end())
}

async fn plain(job: Attempt<Plain>, journal: State<Journal>) -> Done {
    complete(&job, &journal, job.millis).await
}

async fn keyed(job: Attempt<Keyed>, journal: State<Journal>) -> Done {
    complete(&job, &journal, job.millis).await
}

async fn delayed(job: Attempt<Delayed>, journal: State<Journal>) -> Done {
    complete(&job, &journal, 10).await
}

async fn tick(job: Attempt<Ticker>, journal: State<Journal>) -> Done {
    complete(&job, &journal, 20).await
}

async fn flaky(job: Attempt<Flaky>, journal: State<Journal>) -> Done {
    let call = Call::begin(&journal, Phase::Run, [(&job.id, job.attempt)]);
    call.work(30).await;
    if job.attempt <= job.failures {
        return Err(call.fail());
    }
    Ok(call.end())
}

async fn fail(job: Attempt<Doomed>, journal: State<Journal>) -> Done {
    let call = Call::begin(&journal, Phase::Run, [(&job.id, job.attempt)]);
    call.work(20).await;
    Err(call.fail())
}

/// In a group every third one fails at first, and the others complete without it.
async fn grouped(jobs: Vec<Attempt<Grouped>>, journal: State<Journal>) -> oncetask::Result<Vec<Outcome>> {
    let tasks = jobs.iter().map(|job| (&job.id, job.attempt));
    let call = Call::begin(&journal, Phase::Run, tasks);
    call.work(60).await;
    let outcome = |(place, job): (usize, &Attempt<Grouped>)| {
        if job.attempt == 1 && job.number.is_multiple_of(3) {
            Outcome::error(call.fail_one(place))
        } else {
            Outcome::done(&call.end_one(place))
        }
    };
    Ok(jobs.iter().enumerate().map(outcome).collect())
}

async fn stoppable(job: Attempt<Cancelled>, journal: State<Journal>, cx: Context) -> Done {
    let call = Call::begin(&journal, Phase::Run, [(&job.id, job.attempt)]);
    let told = async {
        if job.deaf {
            std::future::pending::<()>().await;
        } else {
            cx.cancelled().await;
        }
    };
    if ends_first(call.work(job.millis), told).await {
        Ok(call.end())
    } else {
        Err(call.fail())
    }
}

async fn ends_first(work: impl Future<Output = ()>, told: impl Future<Output = ()>) -> bool {
    tokio::select! {
        () = work => true,
        () = told => false,
    }
}

/// The first cleanup of some fails.
async fn clean_up(job: Attempt<Cancelled>, journal: State<Journal>) -> oncetask::Result {
    let call = Call::begin(&journal, Phase::Cleanup, [(&job.id, job.attempt)]);
    call.work(40).await;
    if job.attempt == 1 && job.number.is_multiple_of(3) {
        return Err(call.fail());
    }
    call.end();
    Ok(())
}

async fn parent(job: Attempt<Parent>, client: Client, journal: State<Journal>) -> Done {
    let call = Call::begin(&journal, Phase::Run, [(&job.id, job.attempt)]);
    let child = Plain {
        number: CHILDREN + job.number,
        millis: 5,
    };
    let created = client.create(child).await?;
    call.created(created.id());
    Ok(call.end())
}

/// What a worker does at most once at a time: a task, or the tasks of a resource key.
pub(crate) fn exclusive(id: &TaskId) -> &str {
    let id = id.as_str();
    let keyed = id.starts_with("keyed:") || id.starts_with("grouped:");
    match id.rsplit_once(':') {
        Some((key, _)) if keyed => key,
        _ => id,
    }
}
