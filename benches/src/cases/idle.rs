//! What a worker costs that has nothing to do.

use std::time::Duration;

use super::Result;
use crate::options::{Options, Place, open_as_told};
use crate::report::{Line, Usage, rounded};
use crate::work::worker as noop_worker;

const SETTLE: Duration = Duration::from_secs(2);
const WATCHED: Duration = Duration::from_secs(30);

/// The processor time of an idle worker, a minute's worth.
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
    Ok(())
}

/// What another process does for [`idle`]: nothing, until it is ended.
pub(crate) async fn worker(options: &Options) -> Result {
    let client = open_as_told(options).await?.client;
    let (_worker, count) = noop_worker(&client, 10, usize::MAX).await?;
    count.enough().await;
    Ok(())
}
