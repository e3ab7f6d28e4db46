//! Shows tasks that are created once, retried, scheduled, and serialised by a resource key.
//!
//! Run `cargo run --example quickstart` twice. The second run opens the file of the first one, and runs no task again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use oncetask::store::StoreUrl;
use oncetask::{Client, Context, Enqueued, OnceTask, ResultExt, State, Status};
use serde::{Deserialize, Serialize};

/// An e-mail. The one to Bob fails twice and succeeds on the third attempt; the one without an address fails at once.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("email:{to}")]
#[handler(retry = exponential(max_attempts = 5, base = "300ms"), concurrency = 3)]
struct SendEmail {
    to: String,
}

impl SendEmail {
    async fn run(self, cx: Context, console: State<Console>) -> oncetask::Result<String> {
        console.log(&format!("✉  to {}, attempt {}", self.to, cx.attempt()));
        if self.to.starts_with("bob") && cx.attempt() < 3 {
            return Err("the mail server is busy".into());
        }
        if !self.to.contains('@') {
            return Err(format!("`{}` is not an address", self.to)).permanent(); // a retry would not help
        }
        Ok(format!("delivered to {}", self.to))
    }
}

/// A reminder, which runs at an instant.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("remind:{about}")]
#[handler]
struct Remind {
    about: String,
    #[run_at]
    at: DateTime<Utc>,
}

impl Remind {
    async fn run(self, console: State<Console>) {
        let late = (Utc::now() - self.at).num_milliseconds();
        console.log(&format!(
            "⏰ remember {}: {late} ms after the scheduled time",
            self.about
        ));
    }
}

/// A charge. Charges of one account never run at the same time, although up to ten charges may.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("charge:{account}:{cents}")]
#[resource_key("account:{account}")]
#[handler(concurrency = 10)]
struct Charge {
    account: String,
    cents: u32,
}

impl Charge {
    async fn run(self, console: State<Console>) {
        let others = console.charging.fetch_add(1, Ordering::SeqCst);
        console.log(&format!(
            "💶 {} ct from {}, while {others} other charges of that account run",
            self.cents, self.account
        ));
        tokio::time::sleep(Duration::from_millis(300)).await; // the work
        console.charging.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::main]
async fn main() -> Result<(), oncetask::Error> {
    // `RUST_LOG=info` shows the log of the worker.
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt::init();
    }
    let path = std::env::temp_dir().join("oncetask-quickstart.db");
    let client = Client::open_in(StoreUrl::Sqlite(path.clone()), "DEFAULT").await?;
    let console = Console::new();

    println!("The tasks are in {}.\n", path.display());
    let again = create_tasks(&client).await?;
    println!();

    let worker = oncetask::builder()
        .client(client.clone())
        .state(console.clone())
        .start()
        .await?;
    for id in IDS {
        // One of these tasks fails, which `wait` reports as an error.
        let _ = client.wait(id).await;
    }
    worker.shutdown().await;

    report(&client).await?;
    let runs = console.runs.load(Ordering::SeqCst);
    match (again, runs) {
        (true, 0) => println!(
            "\nEverything was done before, so nothing ran again. Start over: rm {}",
            path.display()
        ),
        (true, _) => println!("\n{runs} runs: an earlier run of this program had not finished these tasks."),
        (false, _) => {
            println!("\n{runs} runs. Run this program again: it finds the file, and nothing runs twice.");
        }
    }
    Ok(())
}

const IDS: [&str; 7] = [
    "email:ada@example.com",
    "email:bob@example.com",
    "email:nobody",
    "remind:the milk",
    "charge:ada:100",
    "charge:ada:200",
    "charge:ada:300",
];

/// Creates the tasks. Returns whether they already existed.
async fn create_tasks(client: &Client) -> Result<bool, oncetask::Error> {
    let email = |to: &str| SendEmail { to: to.to_owned() };
    let charge = |cents| Charge {
        account: "ada".to_owned(),
        cents,
    };
    let at = Utc::now() + TimeDelta::seconds(2);

    let first = client.create(email("ada@example.com")).await?;
    show(&first);
    show(&client.create(email("ada@example.com")).await?); // the same task
    show(&client.create(email("bob@example.com")).await?);
    show(&client.create(email("nobody")).await?);
    show(
        &client
            .create(Remind {
                about: "the milk".to_owned(),
                at,
            })
            .await?,
    );
    for created in client
        .create_many([charge(100), charge(200), charge(300)])
        .await?
    {
        show(&created?);
    }
    Ok(!first.is_new)
}

fn show(created: &Enqueued) {
    let outcome = if created.is_new {
        "new".to_owned()
    } else {
        format!("exists, {}", created.task.status(Utc::now()))
    };
    println!("  create {:24} {outcome}", created.id().as_str());
}

async fn report(client: &Client) -> Result<(), oncetask::Error> {
    println!();
    for id in IDS {
        let Some(task) = client.get(id).await? else {
            continue;
        };
        let status = task.status(Utc::now());
        let last = match status {
            Status::Completed => task
                .state
                .result
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            _ => task
                .errors()
                .last()
                .map_or_else(String::new, |error| error.error.clone()),
        };
        let created = task.spec.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        println!(
            "  {id:24} {status:9} attempts: {}  created: {created}  {last}",
            task.attempts()
        );
    }
    Ok(())
}

/// The output of the handlers, which also counts their runs.
#[derive(Clone)]
struct Console {
    start: Instant,
    runs: Arc<AtomicUsize>,
    charging: Arc<AtomicUsize>,
}

impl Console {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            runs: Arc::default(),
            charging: Arc::default(),
        }
    }

    fn log(&self, line: &str) {
        self.runs.fetch_add(1, Ordering::SeqCst);
        println!("  {:5.2} s  {line}", self.start.elapsed().as_secs_f64());
    }
}
