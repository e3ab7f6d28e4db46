//! Measurements: `cargo run --release -p benches -- CASE [--store S] [--tasks N] [--concurrency C]`.
//!
//! Each prints one JSON line a measurement. Machines differ and are shared: compare figures of one run.

mod allocations;
mod cases;
mod options;
mod work;

use bench_report as report;
use options::Options;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::from_arguments(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(cases::run(&options))
}
