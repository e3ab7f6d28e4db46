//! A deterministic simulation: the real runtime and the real transitions on a simulated clock, with workers that
//! crash and a network that delays, loses and repeats messages.
//!
//! A seed determines everything: the tasks and their handlers, the delivery of every message between a node and
//! the store, the crashes, freezes and partitions, and the skew of every clock. Two runs of a seed have the same
//! history, byte for byte. Every history is checked against the invariants. A history that violates one is
//! shrunk.
//!
//! ```text
//!  plan (from the seed) ─▶ run ─▶ nodes ── store proxy ─ network ─▶ server ─ broken? ─▶ memory store
//!                           │       └ process: running, frozen, crashed  │
//!                           └ clients ─── store proxy ─ network ─────────┤
//!                                                                        ▼
//!                                   invariants ◀───────────────────── history
//! ```

mod broken;
mod clients;
mod clock;
mod history;
mod invariants;
mod network;
mod node;
mod plan;
mod process;
mod report;
mod rng;
mod run;
mod server;
mod shrink;
mod store_proxy;
mod tasks;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub use self::broken::Broken;
pub use self::history::History;
pub use self::invariants::{Violation, names as invariants};
pub use self::network::FaultCounts;
pub use self::plan::Plan;
pub use self::report::Report;
use self::run::Execution;

/// The result of one seed.
#[derive(Debug)]
pub struct Outcome {
    /// Every event.
    pub history: History,
    /// The number of faults of each kind.
    pub faults: FaultCounts,
    /// The first violation of each invariant, in the order of the events.
    pub violations: Vec<Violation>,
}

/// Runs a seed, with every guard of the library or without one.
#[must_use]
pub fn run(seed: u64, broken: Option<Broken>) -> Outcome {
    let plan = Plan::of(seed);
    let Execution { history, faults } = run::execute(&plan, broken);
    Outcome {
        violations: invariants::check(&history, &plan),
        history,
        faults,
    }
}

/// Returns the first of these seeds that violates the invariant that the missing guard protects.
#[must_use]
pub fn first_detecting_seed(broken: Broken, seeds: Range<u64>) -> Option<u64> {
    let mut seeds = seeds;
    seeds.find(|seed| {
        let violations = run(*seed, Some(broken)).violations;
        violations
            .iter()
            .any(|violation| violation.invariant == broken.breaks())
    })
}

/// The result of many seeds.
#[derive(Debug, Default)]
pub struct Search {
    /// The number of seeds that ran.
    pub ran: u64,
    /// The lowest seed that violates an invariant.
    pub found: Option<u64>,
    /// The number of faults of each kind.
    pub faults: FaultCounts,
}

/// Runs seeds on this number of threads until one violates an invariant.
#[must_use]
pub fn search(seeds: Range<u64>, broken: Option<Broken>, threads: usize) -> Search {
    let next = AtomicU64::new(seeds.start);
    // Seeds below the found one still run, so that the result does not depend on the threads.
    let end = AtomicU64::new(seeds.end);
    let search = Mutex::new(Search::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end.load(Ordering::Relaxed) {
                return;
            }
            let outcome = run(seed, broken);
            let mut search = search.lock().unwrap_or_else(PoisonError::into_inner);
            search.ran += 1;
            for (fault, count) in outcome.faults {
                *search.faults.entry(fault).or_default() += count;
            }
            if !outcome.violations.is_empty() {
                end.fetch_min(seed, Ordering::Relaxed);
                search.found = Some(search.found.map_or(seed, |found| found.min(seed)));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    search.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the fault counts as one line of text.
#[must_use]
pub fn format_faults(faults: &FaultCounts) -> String {
    let faults: Vec<_> = faults
        .iter()
        .map(|(fault, count)| format!("{fault} {count}"))
        .collect();
    faults.join(", ")
}

/// Shrinks the history of a seed's first violation. Returns `None` if the seed violates no invariant.
#[must_use]
pub fn explain(seed: u64, broken: Option<Broken>) -> Option<Report> {
    let violation = run(seed, broken).violations.into_iter().next()?;
    let (plan, execution, violation) = shrink::shrink(Plan::of(seed), broken, violation);
    Some(Report {
        seed,
        broken,
        violation,
        plan,
        history: execution.history,
        faults: execution.faults,
    })
}
