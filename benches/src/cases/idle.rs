//! What a worker costs that has nothing to do.

use std::time::Duration;

use oncetask::{Client, Handler, OnceTask, Worker};
use serde::{Deserialize, Serialize};

use super::Result;
use crate::options::{Options, Place, open_as_told};
use crate::report::{Line, Usage, rounded};

const SETTLE: Duration = Duration::from_secs(2);
const WATCHED: Duration = Duration::from_secs(30);
/// Firestore is asked once a minute.
const WATCHED_FOR_READS: Duration = Duration::from_mins(10);

/// The processor time of an idle worker of 20 kinds, a minute's worth.
pub(crate) async fn idle(options: &Options) -> Result {
    let place = Place::new(options)?;
    let mut child = place.another_process("idle-worker")?.spawn()?;
    tokio::time::sleep(SETTLE).await;
    let before = Usage::of(&child.id().to_string());
    tokio::time::sleep(WATCHED).await;
    let after = Usage::of(&child.id().to_string());
    child.kill()?;
    child.wait()?;
    let mut line = Line::of(&options.store, "idle", 0).used(before, after);
    line.cpu_s = rounded(line.cpu_s * 60.0 / WATCHED.as_secs_f64());
    line.note = Some("cpu_s is for a minute".to_owned());
    line.print()?;
    if options.store == "firestore" {
        reads(&place, options).await?;
    }
    Ok(())
}

/// What Firestore is asked by such a worker in an hour.
async fn reads(place: &Place, options: &Options) -> Result {
    let opened = place.open().await?;
    let _worker = start(&opened.client).await?;
    tokio::time::sleep(SETTLE).await;
    let before = opened.usage().ok_or("there is nothing to be billed")?;
    tokio::time::sleep(WATCHED_FOR_READS).await;
    let asked = opened
        .usage()
        .ok_or("there is nothing to be billed")?
        .since(before);
    Line::of(&options.store, "idle", 0)
        .asked_while_idle(asked, WATCHED_FOR_READS)
        .print()?;
    Ok(())
}

/// What another process does for [`idle`]: nothing, until it is ended.
pub(crate) async fn worker(options: &Options) -> Result {
    let _worker = start(&open_as_told(options).await?.client).await?;
    std::future::pending().await
}

async fn start(client: &Client) -> Result<Worker> {
    let mut builder = oncetask::builder().client(client.clone()).only(&[]);
    for handler in handlers() {
        builder = builder.handler(handler);
    }
    Ok(builder.start().await?)
}

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
