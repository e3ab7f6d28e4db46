//! The report of a violation, as text.

use std::collections::HashSet;
use std::fmt;

use super::broken::Broken;
use super::format_faults;
use super::history::{Event, EventKind, History, NodeId};
use super::invariants::Violation;
use super::network::FaultCounts;
use super::plan::Plan;

/// A violation and the shortest history of it that was found.
#[derive(Debug)]
pub struct Report {
    pub(super) seed: u64,
    pub(super) broken: Option<Broken>,
    pub(super) violation: Violation,
    pub(super) plan: Plan,
    pub(super) history: History,
    pub(super) faults: FaultCounts,
}

impl Report {
    /// Writes the events. Of consecutive effects of one call, only the first and the last are written.
    fn write_events(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events: Vec<_> = self.events().collect();
        let effect_of = |event: Option<&&Event>| match event.map(|event| &event.kind) {
            Some(EventKind::Effect { call }) => Some(*call),
            _ => None,
        };
        for (index, event) in events.iter().enumerate() {
            let call = effect_of(Some(event));
            let is_between = call.is_some()
                && index > 0
                && effect_of(events.get(index - 1)) == call
                && effect_of(events.get(index + 1)) == call;
            if !is_between {
                writeln!(f, "{event}")?;
            }
        }
        Ok(())
    }

    /// Returns the events up to the violation that concern its tasks, the calls of their handlers, or faults of
    /// the nodes that touched them.
    fn events(&self) -> impl Iterator<Item = &Event> {
        let events = &self.history.events[..=self.violation.index];
        let is_about = |event: &Event| event.ids().into_iter().any(|id| self.violation.ids.contains(id));
        let calls: HashSet<_> = events
            .iter()
            .filter(|event| is_about(event))
            .filter_map(Event::call)
            .collect();
        let nodes: HashSet<NodeId> = events
            .iter()
            .filter(|event| is_about(event))
            .map(|event| event.node)
            .collect();
        events.iter().filter(move |event| {
            let is_fault = matches!(event.kind, EventKind::Fault(_) | EventKind::FaultsStopped);
            is_about(event)
                || event.call().is_some_and(|call| calls.contains(&call))
                || is_fault && nodes.contains(&event.node)
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
            violation.invariant, violation.description
        )?;
        writeln!(
            f,
            "the shortest history found has {} workers, {} tasks, {} requests for changes, {} faults of workers; heartbeat {} ms",
            plan.workers.len(),
            plan.tasks.len(),
            plan.client_actions.len(),
            plan.faults.len(),
            plan.heartbeat,
        )?;
        writeln!(f, "faults in it: {}", format_faults(&self.faults))?;
        self.write_events(f)?;
        let broken = self
            .broken
            .map(|broken| format!(" --broken {}", broken.name()))
            .unwrap_or_default();
        write!(
            f,
            "reproduce it with: cargo run --release -p tests --bin simulate -- --seed {seed} --seeds 1{broken}"
        )
    }
}
