//! Shows the cancellation of a running task: its handler is notified, and its cleanup handler runs afterwards.
//!
//! `cargo run --example cancellation`

use std::time::Duration;

use oncetask::{Client, Context, Ending, Error, OnceTask};
use serde::{Deserialize, Serialize};

/// The copying of a file, page by page. When it is cancelled, it stops at once, and the copied pages are removed.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("copy:{file}")]
#[handler(on_cancel, on_cancel_retry = exponential(max_attempts = 5, base = "200ms"), lease = "1h")]
struct Copy {
    file: String,
}

const PAGES: u32 = 100;

impl Copy {
    async fn run(self, cx: Context) -> oncetask::Result<u32> {
        for page in 1..=PAGES {
            tokio::select! {
                () = cx.cancelled() => return Err(format!("stopped at page {page}").into()),
                () = copy_page() => cx.progress(f64::from(page) / f64::from(PAGES), format!("page {page}")),
            }
        }
        Ok(PAGES)
    }

    /// Removes the copied pages. It starts after `run` has ended, and is retried by its own policy.
    async fn on_cancel(self, cx: Context) -> oncetask::Result {
        println!("  cleanup of {}, attempt {}", self.file, cx.attempt());
        if cx.attempt() == 1 {
            return Err("the disk is busy".into());
        }
        println!("  the copied pages are removed");
        Ok(())
    }
}

async fn copy_page() {
    tokio::time::sleep(Duration::from_millis(40)).await; // the work
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::in_memory();
    let worker = oncetask::builder().client(client.clone()).start().await?;
    let id = Copy {
        file: "atlas.pdf".to_owned(),
    }
    .enqueue(&client)
    .await?
    .id()
    .clone();

    // Cancels the task when more than a fifth of the pages have been copied.
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    loop {
        interval.tick().await;
        let Some(task) = client.get(&id).await? else {
            continue;
        };
        let Some(progress) = task.state.progress else {
            continue;
        };
        println!("  {:3.0} %  {}", progress.fraction * 100.0, progress.message);
        if progress.fraction > 0.2 {
            break;
        }
    }
    println!("  cancel: {:?}", client.cancel(&id).await?);
    println!("  again:  {:?}", client.cancel(&id).await?);

    match client.wait(&id).await {
        Err(Error::Unsuccessful {
            how: Ending::Cancelled,
            errors,
            ..
        }) => {
            println!("  the task ended as cancelled, with these errors:");
            for error in errors {
                let handler = if error.cleanup { "cleanup" } else { "handler" };
                println!("    {handler}, attempt {}: {}", error.attempt, error.error);
            }
        }
        other => println!("  unexpected end: {other:?}"),
    }
    worker.shutdown().await;
    Ok(())
}
