//! The selection of tasks to claim from a window.

use std::collections::{HashMap, HashSet, VecDeque};

use chrono::{DateTime, Utc};

use super::next_due::earliest;
use super::window::Window;
use crate::store::firestore::claim_cache::{Key, key_of};
use crate::store::firestore::codec::Stored;
use crate::task::QueueOrder;
use crate::task::transition::{self, Phase};

/// The tasks of one intended claim: a single task, or several tasks of one key.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) key: Option<Key>,
    pub(super) tasks: Vec<Stored>,
    /// True if more tasks of the key may be due than were read.
    pub(super) incomplete: bool,
}

/// The active claims of this process.
#[derive(Debug)]
pub(super) struct OwnClaims {
    /// The names of the claimed documents.
    pub(super) names: HashSet<String>,
    /// The keys of the claimed tasks, with the instant at which the last lease on each expires.
    pub(super) keys: HashMap<Key, DateTime<Utc>>,
}

/// The result of [`select`].
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) candidates: Vec<Candidate>,
    /// The earliest instant at which a task that cannot be claimed now can be claimed.
    pub(super) claimable_at: Option<DateTime<Utc>>,
}

/// Moves up to `max_claims` candidates out of a window, in the order of the window. A key gets at most one
/// candidate, which takes up to `max_group` of its tasks.
pub(super) fn select(
    window: &mut Window,
    max_claims: usize,
    max_group: usize,
    own: &OwnClaims,
    now: DateTime<Utc>,
) -> Selection {
    let mut selection = Selection::default();
    let mut by_key: HashMap<Key, usize> = HashMap::new();
    let mut rest = VecDeque::new();
    for stored in window.tasks.drain(..) {
        if own.names.contains(&stored.name) {
            continue;
        }
        if !transition::is_due(&stored.task.state, now) {
            selection.wait_until(stored.task.state.due());
            rest.push_back(stored);
            continue;
        }
        let has_room = selection.candidates.len() < max_claims;
        let Some(key) = key_of(&stored.task) else {
            if has_room {
                selection.candidates.push(Candidate::single(None, stored));
            } else {
                rest.push_back(stored);
            }
            continue;
        };
        match by_key.get(&key) {
            Some(index) if selection.candidates[*index].accepts(&stored, max_group) => {
                selection.candidates[*index].tasks.push(stored);
            }
            Some(_) => rest.push_back(stored),
            None => match own.keys.get(&key) {
                Some(until) => {
                    selection.wait_until(Some(*until));
                    rest.push_back(stored);
                }
                None if has_room => {
                    by_key.insert(key.clone(), selection.candidates.len());
                    selection.candidates.push(Candidate::single(Some(key), stored));
                }
                None => rest.push_back(stored),
            },
        }
    }
    window.tasks = rest;
    let has_more = window.cursor.is_some();
    for candidate in &mut selection.candidates {
        candidate.sort();
        candidate.incomplete =
            has_more && candidate.key.is_some() && candidate.tasks.len() < max_group && candidate.is_run();
    }
    selection
}

impl Selection {
    fn wait_until(&mut self, at: Option<DateTime<Utc>>) {
        self.claimable_at = earliest(self.claimable_at, at);
    }
}

impl Candidate {
    /// Returns a candidate of one task.
    pub(super) fn single(key: Option<Key>, stored: Stored) -> Self {
        Self {
            key,
            tasks: vec![stored],
            incomplete: false,
        }
    }

    /// Sorts the tasks by the order in which they first became due. The due time of a task with an expired lease is
    /// the end of that lease, so it is not used.
    pub(super) fn sort(&mut self) {
        self.tasks.sort_by_key(|stored| {
            let task = &stored.task;
            QueueOrder::at(task.state.wait_until, task)
        });
    }

    fn is_run(&self) -> bool {
        transition::next_phase(&self.tasks[0].task.state) == Phase::Run
    }

    /// Returns whether one more task of the key can join the group. A task in its cleanup phase is always claimed
    /// alone.
    pub(super) fn accepts(&self, stored: &Stored, max_group: usize) -> bool {
        let is_run = transition::next_phase(&stored.task.state) == Phase::Run;
        self.is_run() && is_run && self.tasks.len() < max_group
    }
}
