//! The cost of a worker without tasks.

use std::time::Duration;

use oncetask::{Client, Handler, OnceTask, Worker};
use serde::{Deserialize, Serialize};

use super::Result;
use crate::options::Options;
use crate::report::{Line, ProcessUsage, rounded};
use crate::scratch_store::{ScratchStore, open_parent_store};

/// The duration before the measurement, in which the worker starts.
const STARTUP: Duration = Duration::from_secs(2);
/// The duration in which processor time is measured.
const CPU_WINDOW: Duration = Duration::from_secs(30);
/// The duration in which requests are counted. An idle worker queries Firestore only once a minute.
const REQUESTS_WINDOW: Duration = Duration::from_mins(10);

/// Measures an idle worker of 20 kinds: its processor time per minute, and its requests to Firestore.
pub(crate) async fn idle(options: &Options) -> Result {
    let store = ScratchStore::new(options)?;
    let mut child = store.child_command("idle-worker")?.spawn()?;
    tokio::time::sleep(STARTUP).await;
    let before = ProcessUsage::of(&child.id().to_string());
    tokio::time::sleep(CPU_WINDOW).await;
    let after = ProcessUsage::of(&child.id().to_string());
    child.kill()?;
    child.wait()?;
    let mut line = Line::new(&options.store, "idle", 0).process_usage(before, after);
    line.cpu_s = rounded(line.cpu_s * 60.0 / CPU_WINDOW.as_secs_f64());
    line.note = Some("cpu_s is for a minute".to_owned());
    line.print()?;
    if options.store == "firestore" {
        measure_requests(&store, options).await?;
    }
    Ok(())
}

/// Measures the requests to Firestore per hour.
async fn measure_requests(scratch: &ScratchStore, options: &Options) -> Result {
    let store = scratch.open().await?;
    let _worker = start_worker(&store.client).await?;
    tokio::time::sleep(STARTUP).await;
    let before = store.server_usage();
    tokio::time::sleep(REQUESTS_WINDOW).await;
    let usage = store
        .server_usage_since(before)
        .ok_or("the store does not count its requests")?;
    Line::new(&options.store, "idle", 0)
        .idle_server_usage(usage, REQUESTS_WINDOW)
        .print()?;
    Ok(())
}

/// Runs an idle worker in a process that [`idle`] started, until the process is killed.
pub(crate) async fn worker_process(options: &Options) -> Result {
    let _worker = start_worker(&open_parent_store(options).await?.client).await?;
    std::future::pending().await
}

async fn start_worker(client: &Client) -> Result<Worker> {
    let mut builder = oncetask::builder().client(client.clone()).only(&[]);
    for handler in handlers() {
        builder = builder.handler(handler);
    }
    Ok(builder.start().await?)
}

/// Declares a task type for each name, and a function that returns a handler for each type.
macro_rules! kinds {
    ($($kind:ident)*) => {
        $(#[derive(Serialize, Deserialize, OnceTask)]
        #[id("idle:{number}")]
        struct $kind {
            number: usize,
        })*

        fn handlers() -> Vec<Handler> {
            vec![$(Handler::new(|_: $kind| async {})),*]
        }
    };
}

kinds!(A B C D E F G H I J K L M N O P Q R S T);
