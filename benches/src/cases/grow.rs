//! Whether finished tasks slow down the others.

use super::Result;
use super::create::fill;
use super::drain::run_all;
use crate::options::{Options, Place};
use crate::report::{Line, Usage};

const DRAINED: usize = 10_000;
const CONCURRENCY: usize = 100;

/// The median of so many runs.
const RUNS: usize = 5;

/// Drains 10,000 tasks with 0, 100,000 and 1,000,000 finished ones in the store.
pub(crate) async fn grow(options: &Options) -> Result {
    let place = Place::new(options)?;
    let client = place.client().await?;
    let mut finished = 0;
    for wanted in [0, 100_000, 1_000_000] {
        let more = wanted - finished;
        if more > 0 {
            fill(&client, finished..wanted, 1000).await?;
            run_all(&client, CONCURRENCY, more).await?;
        }
        let before = Usage::of_this_process();
        finished = wanted;
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            fill(&client, finished..finished + DRAINED, 1000).await?;
            runs.push(run_all(&client, CONCURRENCY, DRAINED).await?);
            finished += DRAINED;
        }
        runs.sort_unstable();
        let took = runs[RUNS / 2];
        let mut line = Line::of(&options.store, "grow", DRAINED).rate(DRAINED, took);
        line.note = Some(format!("{wanted} finished"));
        line.concurrency = Some(CONCURRENCY);
        line.used(before, Usage::of_this_process()).print()?;
    }
    Ok(())
}
