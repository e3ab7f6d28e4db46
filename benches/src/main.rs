//! Measurements: `cargo run --release -p benches -- CASE [--store S] [--tasks N] [--concurrency C]`.
//!
//! Each measurement prints one line of JSON. Compare only figures of the same run, because machines differ
//! and other programs may be running.

mod allocations;
mod cases;
mod child;
mod options;
mod scratch_store;
mod work;

use bench_report as report;
use options::Options;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::from_arguments(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(cases::run(&options))
}
