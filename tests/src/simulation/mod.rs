//! A simulation of workers on a bad day: the real runtime and the real transitions, on a clock that is moved
//! by hand, in front of a store that can hardly be reached.
//!
//! Everything follows from a seed: when tasks are created and what their handlers do, what becomes of each
//! message between a worker and the store, when workers are frozen, killed and cut off, and how wrong their
//! clocks are. A seed that is run twice has the same history, byte for byte. Each history is held against the
//! invariants, and one that breaks one is made as short as it gets.
//!
//! ```text
//!  plan (from the seed) ─▶ world ─▶ workers ─ front ─ network ─▶ server ─ broken? ─▶ memory store
//!                            │         └ life: polled, frozen, dead     │
//!                            └ clients ─ front ─ network ───────────────┤
//!                                                                       ▼
//!                                  invariants ◀───────────────────── history
//! ```

mod actor;
mod broken;
mod clients;
mod clock;
mod dice;
mod front;
mod history;
mod invariants;
mod life;
mod network;
mod plan;
mod server;
mod shrink;
mod tasks;
mod world;

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub use self::broken::Broken;
pub use self::history::History;
use self::history::{Event, What, Who};
pub use self::invariants::{Violation, names as invariants};
pub use self::network::Tally;
pub use self::plan::Plan;
use self::world::Played;

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// Everything that happened.
    pub history: History,
    /// How often each sort of fault happened.
    pub faults: Tally,
    /// What must not have happened: the first violation of each invariant, in order.
    pub violations: Vec<Violation>,
}

/// Runs a seed, with all guards of the library or without one.
#[must_use]
pub fn run(seed: u64, broken: Option<Broken>) -> Outcome {
    let plan = Plan::of(seed);
    let Played { history, tally } = world::play(&plan, broken);
    Outcome {
        violations: invariants::check(&history, &plan),
        history,
        faults: tally,
    }
}

/// The first of these seeds in which the invariant is broken for which the guard stands.
#[must_use]
pub fn first_to_miss(broken: Broken, seeds: Range<u64>) -> Option<u64> {
    let mut seeds = seeds;
    seeds.find(|seed| {
        let violations = run(*seed, Some(broken)).violations;
        violations
            .iter()
            .any(|violation| violation.invariant == broken.breaks())
    })
}

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Search {
    /// How many ran.
    pub ran: u64,
    /// The lowest seed that was found to break an invariant.
    pub found: Option<u64>,
    /// How often each sort of fault happened.
    pub faults: Tally,
}

/// Runs seeds on some threads, until one breaks an invariant.
#[must_use]
pub fn search(seeds: Range<u64>, broken: Option<Broken>, threads: usize) -> Search {
    let next = AtomicU64::new(seeds.start);
    // A seed that is lower than one that was found is still run: what is found is always the same.
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
            for (fault, times) in outcome.faults {
                *search.faults.entry(fault).or_default() += times;
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

/// A tally in a line.
#[must_use]
pub fn listed(faults: &Tally) -> String {
    let faults: Vec<_> = faults
        .iter()
        .map(|(fault, times)| format!("{fault} {times}"))
        .collect();
    faults.join(", ")
}

/// A violation and the shortest history of it that was found.
#[derive(Debug)]
pub struct Report {
    seed: u64,
    broken: Option<Broken>,
    violation: Violation,
    plan: Plan,
    history: History,
    faults: Tally,
}

/// Makes the history of a seed's violation as short as it gets. `None` when the seed breaks nothing.
#[must_use]
pub fn explain(seed: u64, broken: Option<Broken>) -> Option<Report> {
    let violation = run(seed, broken).violations.into_iter().next()?;
    let (plan, played, violation) = shrink::shrink(Plan::of(seed), broken, violation);
    Some(Report {
        seed,
        broken,
        violation,
        plan,
        history: played.history,
        faults: played.tally,
    })
}

impl Report {
    /// The events; of those that a handler does one after the other, the first and the last.
    fn write_events(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events: Vec<_> = self.events().collect();
        let acts = |event: Option<&&Event>| match event.map(|event| &event.what) {
            Some(What::Acted { call }) => Some(*call),
            _ => None,
        };
        for (place, event) in events.iter().enumerate() {
            let this = acts(Some(event));
            let between = this.is_some()
                && place > 0
                && acts(events.get(place - 1)) == this
                && acts(events.get(place + 1)) == this;
            if !between {
                writeln!(f, "{event}")?;
            }
        }
        Ok(())
    }

    /// The events up to the violation that concern its tasks, or the workers that had to do with them.
    fn events(&self) -> impl Iterator<Item = &Event> {
        let so_far = &self.history.events[..=self.violation.place];
        let about = |event: &Event| event.ids().into_iter().any(|id| self.violation.ids.contains(id));
        let calls: HashSet<_> = so_far
            .iter()
            .filter(|event| about(event))
            .filter_map(Event::call)
            .collect();
        let workers: HashSet<Who> = so_far
            .iter()
            .filter(|event| about(event))
            .map(|event| event.who)
            .collect();
        so_far.iter().filter(move |event| {
            about(event)
                || event.call().is_some_and(|call| calls.contains(&call))
                || matches!(event.what, What::Trouble(_) | What::Quiet) && workers.contains(&event.who)
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            violation,
            plan,
            ..
        } = self;
        writeln!(
            f,
            "seed {seed} breaks the invariant `{}`: {}",
            violation.invariant, violation.what
        )?;
        writeln!(
            f,
            "the shortest history found has {} workers, {} tasks, {} requests for changes, {} blows; heartbeat {} ms",
            plan.workers.len(),
            plan.tasks.len(),
            plan.orders.len(),
            plan.troubles.len(),
            plan.heartbeat,
        )?;
        writeln!(f, "faults in it: {}", listed(&self.faults))?;
        self.write_events(f)?;
        let broken = self
            .broken
            .map(|broken| format!(" --broken {}", broken.name()))
            .unwrap_or_default();
        write!(
            f,
            "again: cargo run --release -p tests --bin simulate -- --seed {seed} --seeds 1{broken}"
        )
    }
}
