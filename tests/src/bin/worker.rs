//! The worker that the process tests start, terminate, freeze and kill.
//!
//! `worker FILE JOURNAL HEARTBEAT_MS GRACE_MS`. Its handlers write their effects to the journal, one line each, so
//! that tests count them without the store.

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
        return Err("usage: worker FILE JOURNAL HEARTBEAT_MS GRACE_MS".into());
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

/// Writes a tick every 20 ms in the first attempt until it is stopped. Completes at once in later attempts.
async fn ticking(attempt: Attempt<Ticking>, journal: State<Journal>) -> oncetask::Result<u32> {
    journal.write("begin", &attempt.id, attempt.attempt);
    if attempt.attempt == 1 {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            journal.write("tick", &attempt.id, attempt.attempt);
        }
    }
    journal.write("end", &attempt.id, attempt.attempt);
    Ok(attempt.attempt)
}

/// Blocks its thread in the first attempt until a file exists, so that nothing can stop it.
async fn stubborn(attempt: Attempt<Stubborn>, journal: State<Journal>) -> oncetask::Result<u32> {
    journal.write("begin", &attempt.id, attempt.attempt);
    while attempt.attempt == 1 && !attempt.until.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    journal.write("end", &attempt.id, attempt.attempt);
    Ok(attempt.attempt)
}

async fn quick(attempt: Attempt<Quick>, journal: State<Journal>) {
    journal.write("begin", &attempt.id, attempt.attempt);
}

async fn keyed(task: Keyed, journal: State<Journal>) {
    let id = task.id();
    journal.write("begin", &id, 0);
    tokio::task::yield_now().await;
    journal.write("end", &id, 0);
}
