//! The cost of a task: processor time, memory, allocations, bytes of the file.

use super::Result;
use super::create::create_noops;
use super::drain::run_all;
use crate::allocations;
use crate::options::Options;
use crate::report::{Line, ProcessUsage, rounded};
use crate::scratch_store::ScratchStore;

/// Measures the creation of tasks, then their run.
pub(crate) async fn overhead(options: &Options) -> Result {
    let store = ScratchStore::new(options)?;
    let client = store.client().await?;
    let concurrency = options.concurrency.unwrap_or(100);

    let before = Reading::take(&store)?;
    create_noops(&client, 0..options.tasks).await?;
    let created = Reading::take(&store)?;
    created.line_since(&before, options, "create_all").print()?;

    run_all(&client, concurrency, options.tasks).await?;
    let mut line = Reading::take(&store)?.line_since(&created, options, "drain");
    line.concurrency = Some(concurrency);
    // Most of a finished task's memory was allocated at its creation, so the growth says nothing.
    line.memory_bytes_per_task = None;
    line.print()?;
    Ok(())
}

/// The resources that were used until now.
struct Reading {
    process: ProcessUsage,
    /// The number of calls to the allocator, and the number of bytes that they requested.
    allocations: Option<(usize, usize)>,
    file_bytes: Option<u64>,
}

impl Reading {
    fn take(store: &ScratchStore) -> Result<Self> {
        Ok(Self {
            process: ProcessUsage::of_this_process(),
            allocations: allocations::total(),
            file_bytes: store.file_bytes()?,
        })
    }

    /// Returns the usage per task since an earlier reading.
    fn line_since(&self, before: &Self, options: &Options, note: &str) -> Line {
        let per_task = |amount: f64| Some(rounded(amount / to_f64(options.tasks)));
        let mut line =
            Line::new(&options.store, "overhead", options.tasks).process_usage(before.process, self.process);
        line.note = Some(note.to_owned());
        line.cpu_us_per_task = per_task(line.cpu_s * 1e6);
        let rss_mb = self.process.rss_mb - before.process.rss_mb;
        line.memory_bytes_per_task = per_task(rss_mb * 1024.0 * 1024.0);
        if let (Some(now), Some(then)) = (self.allocations, before.allocations) {
            line.allocations_per_task = per_task(to_f64(now.0 - then.0));
            line.allocated_bytes_per_task = per_task(to_f64(now.1 - then.1));
        }
        if let (Some(now), Some(then)) = (self.file_bytes, before.file_bytes) {
            let growth = usize::try_from(now.saturating_sub(then)).unwrap_or(usize::MAX);
            line.file_bytes_per_task = per_task(to_f64(growth));
        }
        line
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn to_f64(number: usize) -> f64 {
    number as f64
}
