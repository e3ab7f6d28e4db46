//! What a task costs: processor time, memory, calls of the allocator, bytes of the file.

use super::Result;
use super::create::fill;
use super::drain::run_all;
use crate::allocations;
use crate::options::{Options, Place};
use crate::report::{Line, Usage, rounded};

/// Creating tasks, and running them.
pub(crate) async fn overhead(options: &Options) -> Result {
    let place = Place::new(options)?;
    let client = place.client().await?;
    let concurrency = options.concurrency.unwrap_or(100);

    let before = Reading::take(&place)?;
    fill(&client, 0..options.tasks, 1000).await?;
    let stored = Reading::take(&place)?;
    stored.line(&before, options, "create_many").print()?;

    run_all(&client, concurrency, options.tasks).await?;
    let mut line = Reading::take(&place)?.line(&stored, options, "drain");
    line.concurrency = Some(concurrency);
    // What it holds when it is done is mostly what it held before.
    line.memory_bytes_per_task = None;
    line.print()?;
    Ok(())
}

/// How much was used until now.
struct Reading {
    usage: Usage,
    allocations: Option<(usize, usize)>,
    file_bytes: Option<u64>,
}

impl Reading {
    fn take(place: &Place) -> Result<Self> {
        Ok(Self {
            usage: Usage::of_this_process(),
            allocations: allocations::so_far(),
            file_bytes: place.file_bytes()?,
        })
    }

    fn line(&self, before: &Self, options: &Options, what: &str) -> Line {
        let each = |amount: f64| Some(rounded(amount / count(options.tasks)));
        let mut line = Line::of(&options.store, "overhead", options.tasks).used(before.usage, self.usage);
        line.note = Some(what.to_owned());
        line.cpu_us_per_task = each(line.cpu_s * 1e6);
        line.memory_bytes_per_task = each((self.usage.rss_mb - before.usage.rss_mb) * 1024.0 * 1024.0);
        if let (Some(now), Some(then)) = (self.allocations, before.allocations) {
            line.allocations_per_task = each(count(now.0 - then.0));
            line.allocated_bytes_per_task = each(count(now.1 - then.1));
        }
        if let (Some(now), Some(then)) = (self.file_bytes, before.file_bytes) {
            line.file_bytes_per_task = each(count(
                usize::try_from(now.saturating_sub(then)).unwrap_or(usize::MAX),
            ));
        }
        line
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}
