//! Every signature of a handler, and every option of `#[handler]`.

use std::fmt;
use std::time::Duration;

use oncetask::handler::{FromContext, Needs};
use oncetask::{
    Attempt, Client, Context, Handler, HandlerConfig, HandlerError, OnceTask, Outcome, Result, Retry, State,
};
use serde::{Deserialize, Serialize};

/// Defines a task type with this `#[handler]`. The id, the key and the fields are always the same.
macro_rules! task {
    ($name:ident: $handler:meta) => {
        #[derive(Debug, Serialize, Deserialize, OnceTask)]
        #[id("task:{n}")]
        #[resource_key("key:{n}")]
        #[$handler]
        struct $name {
            n: u8,
        }
    };
}

#[derive(Debug)]
struct Failure;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failure")
    }
}

impl std::error::Error for Failure {}

struct Custom(String);

impl FromContext for Custom {
    fn from_context(cx: &Context) -> Self {
        Self(State::<String>::from_context(cx).0)
    }

    fn needs(needs: &mut Needs) {
        needs.state::<String>();
    }
}

task!(BySelf: handler);
impl BySelf {
    async fn run(self) {}
}

task!(ByAttempt: handler);
impl ByAttempt {
    async fn run(attempt: Attempt<Self>, cx: Context) -> Result<u32> {
        assert_eq!(cx.id(), Some(&attempt.id));
        Ok(attempt.attempt + u32::from(attempt.n))
    }
}

task!(Grouped: handler(max_group = 10));
impl Grouped {
    async fn run(tasks: Vec<Self>) -> Result<usize> {
        Ok(tasks.len())
    }
}

task!(GroupedOutcomes: handler(max_group = GROUP));
const GROUP: u32 = 7;
impl GroupedOutcomes {
    async fn run(tasks: Vec<Attempt<Self>>, _client: Client) -> Result<Vec<Outcome>> {
        let outcome = |attempt: &Attempt<Self>| match attempt.n {
            0 => Outcome::error("zero"),
            1 => Outcome::from(Err::<(), _>(Failure)),
            2 => Outcome::error(HandlerError::snooze(Duration::from_secs(1))),
            n => Outcome::done(&n),
        };
        Ok(tasks.iter().map(outcome).collect())
    }
}

task!(ManyParameters: handler(run = many, on_cancel = undo));
async fn many(
    _: ManyParameters,
    State(_): State<String>,
    _: Custom,
    _: Client,
    _: Context,
    _: Custom,
) -> Result<(), Failure> {
    Err(Failure)
}
async fn undo(attempt: Attempt<ManyParameters>, custom: Custom) -> std::result::Result<String, String> {
    Ok(format!("{}{}", attempt.id, custom.0))
}

task!(
    Configured: handler(
        retry = exponential(max_attempts = 5, base = "1s", max = "1m", factor = 1.5, jitter = full),
        on_cancel,
        on_cancel_retry = fixed(max_attempts = unlimited, delay = "5s", jitter = none),
        lease = "15m",
        concurrency = 3,
    )
);
impl Configured {
    async fn run(self) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }

    async fn on_cancel(self) -> Result {
        Ok(())
    }
}

task!(Constants: handler(retry = EVERY_MINUTE, lease = Self::LEASE, concurrency = 1 + GROUP));
const EVERY_MINUTE: Retry = Retry::fixed(Duration::from_mins(1)).unlimited();
impl Constants {
    const LEASE: Duration = Duration::from_secs(30);

    fn run(self) -> impl Future<Output = std::result::Result<u8, &'static str>> + Send {
        std::future::ready(Ok(self.n))
    }
}

task!(OnceOnly: handler(run = <OnceOnly as Work>::work, retry = never, on_cancel = <Self as Work>::work, on_cancel_retry = exponential));
trait Work {
    fn work(self) -> impl Future<Output = ()> + Send;
}
impl Work for OnceOnly {
    async fn work(self) {}
}

/// A task and a handler that are private to a module.
mod inner {
    use super::{Deserialize, OnceTask, Serialize};

    task!(Private: handler(run = Self::private));
    impl Private {
        async fn private(self) {}
    }
}

#[test]
fn each_handler_is_discovered() {
    let kinds = [
        "BySelf",
        "ByAttempt",
        "Grouped",
        "GroupedOutcomes",
        "ManyParameters",
        "Configured",
        "Constants",
        "OnceOnly",
        "Private",
    ];
    for kind in kinds {
        assert!(crate::discovered(kind).has_handler(), "{kind}");
    }
}

#[derive(Serialize, Deserialize, OnceTask)]
#[id("unhandled:{n}")]
#[resource_key("key:{n}")]
struct Unhandled {
    n: u8,
}

async fn group(tasks: Vec<Attempt<Unhandled>>) -> Result<Vec<Outcome>> {
    Ok(tasks.iter().map(|attempt| Outcome::done(&attempt.n)).collect())
}

#[test]
fn the_builder_accepts_handlers() {
    let closure = |task: Unhandled, State(text): State<String>| async move { println!("{}{text}", task.n) };
    let handler = Handler::new(closure)
        .on_cancel(|_: Unhandled| async {})
        .config(HandlerConfig::DEFAULT.concurrency(4).max_group(3));
    oncetask::builder()
        .state(String::new())
        .handler(handler)
        .check()
        .unwrap();
    let handler = Handler::new(group);
    let error = oncetask::builder().handler(handler).check().unwrap_err();
    assert!(error.to_string().contains("alloc::string::String"), "{error}");
}
