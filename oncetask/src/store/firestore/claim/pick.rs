//! Choosing from a window what to claim.

use std::collections::{HashMap, HashSet, VecDeque};

use chrono::{DateTime, Utc};

use super::window::Window;
use crate::store::firestore::claim_cache::{Key, key_of};
use crate::store::firestore::codec::Stored;
use crate::task::transition::{self, Phase};

/// What one claim is to hold: a task, or several of one key.
#[derive(Debug)]
pub(super) struct Pick {
    pub(super) key: Option<Key>,
    pub(super) tasks: Vec<Stored>,
    /// Whether the key may have more tasks that are due than were read.
    pub(super) incomplete: bool,
}

/// What this process holds already.
#[derive(Debug)]
pub(super) struct Mine {
    pub(super) names: HashSet<String>,
    pub(super) keys: HashMap<Key, DateTime<Utc>>,
}

/// What was chosen, and what of the rest is known.
#[derive(Debug, Default)]
pub(super) struct Picked {
    pub(super) picks: Vec<Pick>,
    /// When the first of those can be claimed that could not be now.
    pub(super) later: Option<DateTime<Utc>>,
}

/// Takes out of the window what there is room for: the earliest due, each key once.
pub(super) fn pick(
    window: &mut Window,
    room: usize,
    group: usize,
    mine: &Mine,
    now: DateTime<Utc>,
) -> Picked {
    let mut picked = Picked::default();
    let mut places: HashMap<Key, usize> = HashMap::new();
    let mut rest = VecDeque::new();
    for stored in window.tasks.drain(..) {
        if mine.names.contains(&stored.name) {
            continue;
        }
        if !transition::is_due(&stored.task.state, now) {
            picked.wait(stored.task.state.due());
            rest.push_back(stored);
            continue;
        }
        let Some(key) = key_of(&stored.task) else {
            if picked.picks.len() < room {
                picked.picks.push(Pick::alone(None, stored));
            } else {
                rest.push_back(stored);
            }
            continue;
        };
        match places.get(&key) {
            Some(place) if picked.picks[*place].takes(&stored, group) => {
                picked.picks[*place].tasks.push(stored);
            }
            Some(_) => rest.push_back(stored),
            None => match mine.keys.get(&key) {
                Some(ends) => {
                    picked.wait(Some(*ends));
                    rest.push_back(stored);
                }
                None if picked.picks.len() < room => {
                    places.insert(key.clone(), picked.picks.len());
                    picked.picks.push(Pick::alone(Some(key), stored));
                }
                None => rest.push_back(stored),
            },
        }
    }
    window.tasks = rest;
    let more = window.behind.is_some();
    for pick in &mut picked.picks {
        pick.order();
        pick.incomplete = more && pick.key.is_some() && pick.tasks.len() < group && pick.is_run();
    }
    picked
}

impl Picked {
    fn wait(&mut self, until: Option<DateTime<Utc>>) {
        self.later = super::outlook::earliest(self.later, until);
    }
}

impl Pick {
    pub(super) fn alone(key: Option<Key>, stored: Stored) -> Self {
        Self {
            key,
            tasks: vec![stored],
            incomplete: false,
        }
    }

    /// Brings the tasks into the order in which they became due, before whoever held some of them fell silent.
    pub(super) fn order(&mut self) {
        self.tasks.sort_by_key(|stored| {
            let task = &stored.task;
            (task.state.wait_until, task.spec.created_at)
        });
    }

    pub(super) fn is_run(&self) -> bool {
        transition::next_phase(&self.tasks[0].task.state) == Phase::Run
    }

    /// Whether one more task of its key belongs to it. One to be cleaned up after is alone.
    pub(super) fn takes(&self, stored: &Stored, group: usize) -> bool {
        let is_run = transition::next_phase(&stored.task.state) == Phase::Run;
        self.is_run() && is_run && self.tasks.len() < group
    }
}
