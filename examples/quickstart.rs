//! The first five minutes: tasks that are created once, retried, scheduled, and kept apart by a key.
//!
//! `cargo run --example quickstart`, twice: the second run finds the first one's file and runs nothing again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use oncetask::store::StoreUrl;
use oncetask::{Client, Context, Enqueued, OnceTask, ResultExt, State, Status, TaskId};
use serde::{Deserialize, Serialize};

/// Fails twice, and succeeds on the third attempt.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("email:{to}")]
#[handler(retry = exponential(max_attempts = 5, base = "300ms"), concurrency = 3)]
struct SendEmail {
    to: String,
}

impl SendEmail {
    async fn run(self, cx: Context, story: State<Story>) -> oncetask::Result<String> {
        story.tell(&format!("✉  to {}, attempt {}", self.to, cx.attempt()));
        if self.to.starts_with("bob") && cx.attempt() < 3 {
            return Err("the mail server is busy".into());
        }
        if !self.to.contains('@') {
            return Err(format!("`{}` is no address", self.to)).permanent(); // no retry will help
        }
        Ok(format!("delivered to {}", self.to))
    }
}

/// Not before an instant.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("remind:{about}")]
#[handler]
struct Remind {
    about: String,
    #[run_at]
    at: DateTime<Utc>,
}

impl Remind {
    async fn run(self, story: State<Story>) {
        let late = (Utc::now() - self.at).num_milliseconds();
        story.tell(&format!("⏰ remember {}: {late} ms after its time", self.about));
    }
}

/// Tasks of one account never run at the same time, whatever the concurrency.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("charge:{account}:{cents}")]
#[resource_key("account:{account}")]
#[handler(concurrency = 10)]
struct Charge {
    account: String,
    cents: u32,
}

impl Charge {
    async fn run(self, story: State<Story>) {
        let others = story.charging.fetch_add(1, Ordering::SeqCst);
        story.tell(&format!(
            "💶 {} ct from {}, beside {others} other charges of it",
            self.cents, self.account
        ));
        tokio::time::sleep(Duration::from_millis(300)).await; // the work
        story.charging.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::main]
async fn main() -> Result<(), oncetask::Error> {
    // Try `RUST_LOG=info`.
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt::init();
    }
    let path = std::env::temp_dir().join("oncetask-quickstart.db");
    let client = Client::open_in(StoreUrl::Sqlite(path.clone()), "DEFAULT").await?;
    let story = Story::new();

    println!("The tasks are in {}.\n", path.display());
    let again = create_tasks(&client).await?;
    println!();

    let worker = oncetask::builder()
        .client(client.clone())
        .state(story.clone())
        .start()
        .await?;
    for id in IDS {
        // Whoever waits is woken when the task ends; it may well fail.
        let _ = client.wait(&TaskId::new(id)).await;
    }
    worker.shutdown().await;

    report(&client).await?;
    let runs = story.runs.load(Ordering::SeqCst);
    match (again, runs) {
        (true, 0) => println!(
            "\nEverything was done before, so nothing ran again. Start over: rm {}",
            path.display()
        ),
        (true, _) => println!("\n{runs} runs: what an earlier run of this program had left undone."),
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

/// Creates the tasks; returns whether they were there before.
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
    let what = if created.is_new {
        "new".to_owned()
    } else {
        format!("exists, {}", created.task.status(Utc::now()))
    };
    println!("  create {:24} {what}", created.id().as_str());
}

async fn report(client: &Client) -> Result<(), oncetask::Error> {
    println!();
    for id in IDS {
        let Some(task) = client.get(&id.into()).await? else {
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

/// Says what happens, and when.
#[derive(Clone)]
struct Story {
    began: Instant,
    runs: Arc<AtomicUsize>,
    charging: Arc<AtomicUsize>,
}

impl Story {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            runs: Arc::default(),
            charging: Arc::default(),
        }
    }

    fn tell(&self, line: &str) {
        self.runs.fetch_add(1, Ordering::SeqCst);
        println!("  {:5.2} s  {line}", self.began.elapsed().as_secs_f64());
    }
}
