//! The worker that the tests of processes start, stop, freeze and kill.
//!
//! `worker FILE JOURNAL HEARTBEAT_MS GRACE_MS`. Its handlers write what they do to the journal, a line each,
//! so that effects are counted outside of any store.

use std::path::PathBuf;
use std::time::Duration;

use oncetask::store::StoreUrl;
use oncetask::{Attempt, Client, OnceTask, State};
use tests::journal::{Journal, Keyed, Quick, Stubborn, Ticking};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, journal, heartbeat, grace] = &arguments[..] else {
        return Err("worker FILE JOURNAL HEARTBEAT_MS GRACE_MS".into());
    };
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let client = Client::open_in(StoreUrl::Sqlite(PathBuf::from(file)), "TEST").await?;
    let journal = Journal::new(PathBuf::from(journal));
    let handlers = [
        oncetask::Handler::new(ticking),
        oncetask::Handler::new(stubborn),
        oncetask::Handler::new(quick),
        oncetask::Handler::new(keyed).config(oncetask::HandlerConfig::DEFAULT.concurrency(16)),
    ];
    let builder = oncetask::builder()
        .only(&[])
        .client(client)
        .state(journal)
        .heartbeat(Duration::from_millis(heartbeat.parse()?))
        .grace(Duration::from_millis(grace.parse()?));
    handlers
        .into_iter()
        .fold(builder, oncetask::WorkerBuilder::handler)
        .run()
        .await?;
    Ok(())
}

/// Ticks for ever in its first attempt; ends at once in the next.
async fn ticking(job: Attempt<Ticking>, journal: State<Journal>) -> oncetask::Result<u32> {
    journal.write("begin", &job.id, job.attempt);
    if job.attempt == 1 {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            journal.write("tick", &job.id, job.attempt);
        }
    }
    journal.write("end", &job.id, job.attempt);
    Ok(job.attempt)
}

/// Blocks its thread in its first attempt, where nothing can stop it, until a file appears.
async fn stubborn(job: Attempt<Stubborn>, journal: State<Journal>) -> oncetask::Result<u32> {
    journal.write("begin", &job.id, job.attempt);
    while job.attempt == 1 && !job.until.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    journal.write("end", &job.id, job.attempt);
    Ok(job.attempt)
}

async fn quick(job: Attempt<Quick>, journal: State<Journal>) {
    journal.write("begin", &job.id, job.attempt);
}

async fn keyed(task: Keyed, journal: State<Journal>) {
    let id = task.id();
    journal.write("begin", &id, 0);
    tokio::task::yield_now().await;
    journal.write("end", &id, 0);
}
