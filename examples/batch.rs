//! Shows a batch: many item tasks, and a task that completes after all of them.
//!
//! The last task is an ordinary task. Its attempts fail while items are missing. Its retry policy reads the number
//! of finished items from the error, and chooses the delay before the next check.
//!
//! `cargo run --example batch`

use std::time::Duration;

use oncetask::{Client, Filter, HandlerError, OnceTask, Retry, Status, TaskId};
use serde::{Deserialize, Serialize};

/// One item of a batch.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("item:{batch}:{number}")]
#[resource_key("batch:{batch}:{number}")]
#[handler(concurrency = 8)]
struct Item {
    batch: String,
    number: u32,
}

impl Item {
    async fn run(self) {
        tokio::time::sleep(Duration::from_millis(u64::from(self.number % 7) * 80)).await; // the work
    }
}

/// The task that completes when all items are done.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("batch:{batch}")]
#[handler(retry = CHECK_AGAIN)]
struct FinishBatch {
    batch: String,
    items: u32,
}

impl FinishBatch {
    async fn run(self, client: Client) -> oncetask::Result<String> {
        let ids: Vec<TaskId> = (0..self.items)
            .map(|number| {
                Item {
                    batch: self.batch.clone(),
                    number,
                }
                .id()
            })
            .collect();
        let items = client.get_many(&ids).await?;
        let done = items.iter().flatten().filter(|item| item.is_done()).count();
        if done < ids.len() {
            return Err(Missing { done, of: ids.len() }.into());
        }
        Ok(format!("{done} items, all done"))
    }
}

/// The error of an attempt while items are missing, displayed as a progress bar.
#[derive(Debug)]
struct Missing {
    done: usize,
    of: usize,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const WIDTH: usize = 40;
        let full = self.done * WIDTH / self.of.max(1);
        write!(
            f,
            "[{}{}] {} of {}",
            "█".repeat(full),
            "░".repeat(WIDTH - full),
            self.done,
            self.of
        )
    }
}

impl std::error::Error for Missing {}

const CHECK_AGAIN: Retry = Retry::custom(check_again);

/// Returns a shorter delay when more than half of the items are done. Any other error gets three attempts.
fn check_again(attempt: u32, error: &HandlerError) -> Option<Duration> {
    match error.downcast_ref::<Missing>() {
        Some(missing) => {
            println!("  {missing}");
            Some(Duration::from_millis(if missing.done * 2 < missing.of {
                400
            } else {
                200
            }))
        }
        None => (attempt < 3).then_some(Duration::from_secs(1)),
    }
}

#[tokio::main]
async fn main() -> Result<(), oncetask::Error> {
    const ITEMS: u32 = 60;
    let client = Client::in_memory();
    let batch = "monday";
    let items = (0..ITEMS).map(|number| Item {
        batch: batch.to_owned(),
        number,
    });
    for created in client.create_many(items).await? {
        created?;
    }
    let finish = FinishBatch {
        batch: batch.to_owned(),
        items: ITEMS,
    }
    .enqueue(&client)
    .await?;

    let worker = oncetask::builder().client(client.clone()).start().await?;
    let task = client.wait(finish.id()).await?;
    worker.shutdown().await;

    let items = client
        .count(Filter::new().kind(Item::KIND).status(Status::Completed))
        .await?;
    let result: Option<String> = task.result().unwrap_or_default();
    println!(
        "  {} after {} checks; {items} are stored as completed.",
        result.unwrap_or_default(),
        task.attempts()
    );
    Ok(())
}
