//! What was claimed and has not begun: a queue for each handler, and the lanes that work it off, one for each
//! slot.
//!
//! A handler that is done at once would spend its life waiting for the next claim. So where the store allows it
//! and the last calls were quick, a few milliseconds' work is claimed ahead. What makes that harmless:
//!
//! - **A crash delays it by seconds.** What is claimed while something is claimed ahead is leased for
//!   [`LEASE`] only. Of what begins and goes on the keeper extends the lease, as always.
//! - **Nothing waits behind a slow call.** What has not begun within [`STALE`] is given back for others to
//!   take, and counts as no attempt. Nothing is claimed ahead again until many calls in a row were quick.
//! - **No task fails for its neighbour.** After a crash nobody can tell what was claimed ahead from what ran,
//!   so both count as an attempt. Therefore a handler that allows one attempt only gets nothing ahead; and a
//!   task whose attempt before fell orphaned, which may be what brought the worker down, begins only when
//!   nothing is claimed behind it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use super::dispatch::Slot;
use super::execute::{self, Assignment};
use super::panics;
use crate::handler::{HandlerConfig, HandlerError};

/// How long claims are leased for when some of them are ahead.
pub(super) const LEASE: Duration = Duration::from_secs(3);
/// How long a claim waits for its lane before it is given back.
pub(super) const STALE: Duration = Duration::from_millis(50);
/// How much work is claimed ahead, and how long a call takes at the most that is quick.
const WORK: Duration = Duration::from_millis(5);
/// How many claims are ahead at the most.
const MOST: usize = 1500;
/// In how many parts that is claimed: while one is run and another waits, the next is on its way.
const PARTS: usize = 3;
/// What a call is taken to need before any has ended: it takes some 40 quick ones to show otherwise.
const UNKNOWN: Duration = Duration::from_secs(1);
/// The newest call is this part of the average.
const NEWEST: u32 = 8;

/// The claims of one handler that have not begun.
#[derive(Debug)]
pub(super) struct Queue {
    slots: u32,
    /// Whether claims may be ahead at all.
    ahead: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Since when, by the clock of this process: however long the store took to answer, none of that is waiting.
    waiting: VecDeque<(Instant, Assignment)>,
    /// How long a call took of late.
    pace: Duration,
    /// Whether the dispatcher was told that little is left.
    asked: bool,
}

/// What a lane runs next.
struct Next {
    assignment: Assignment,
    /// Whether the dispatcher is to be told that little is left.
    ask: bool,
    /// What was behind it, if it is to run with nothing behind it.
    behind: Vec<Assignment>,
}

impl Queue {
    pub(super) fn new(config: &HandlerConfig, ahead: bool) -> Self {
        let another = |retry: &crate::Retry| {
            panics::catch(|| retry.delay(1, &HandlerError::from(""))).is_ok_and(|delay| delay.is_some())
        };
        let state = State {
            waiting: VecDeque::new(),
            pace: UNKNOWN,
            asked: false,
        };
        Self {
            slots: config.concurrency,
            ahead: ahead && another(&config.retry) && another(&config.on_cancel_retry),
            state: Mutex::new(state),
        }
    }

    pub(super) fn add(&self, claims: Vec<Assignment>) {
        let mut state = self.lock();
        let now = Instant::now();
        state.waiting.extend(claims.into_iter().map(|claim| (now, claim)));
        state.asked = false;
    }

    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Since when the claim waits that waits longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.lock().waiting.front().map(|(since, _)| *since)
    }

    /// How many claims to ask for beside those for which a slot is free.
    pub(super) fn room_ahead(&self) -> usize {
        let state = self.lock();
        let most = self.most(&state);
        most.saturating_sub(state.waiting.len()).min(most.div_ceil(PARTS))
    }

    /// Whether it is time to claim more ahead.
    pub(super) fn is_low(&self) -> bool {
        self.is_low_in(&self.lock())
    }

    /// Takes out everything if its first has waited so long.
    pub(super) fn stale(&self, age: Duration) -> Vec<Assignment> {
        let mut state = self.lock();
        match state.waiting.front() {
            Some((since, _)) if since.elapsed() >= age => state.clear(),
            _ => Vec::new(),
        }
    }

    /// The next claim, for a lane whose last call took so long.
    fn next(&self, took: Option<Duration>) -> Option<Next> {
        let mut state = self.lock();
        if let Some(took) = took {
            state.pace = state.pace.saturating_mul(NEWEST - 1).saturating_add(took) / NEWEST;
        }
        let (_, assignment) = state.waiting.pop_front()?;
        let behind = if assignment.tasks.iter().any(|task| task.orphaned) {
            state.clear()
        } else {
            Vec::new()
        };
        let ask = !state.asked && self.is_low_in(&state);
        state.asked |= ask;
        Some(Next {
            assignment,
            ask,
            behind,
        })
    }

    fn is_low_in(&self, state: &State) -> bool {
        state.waiting.len() * PARTS < self.most(state) * (PARTS - 1)
    }

    fn most(&self, state: &State) -> usize {
        if !self.ahead || state.pace > WORK {
            return 0;
        }
        let calls = WORK.as_nanos() * u128::from(self.slots) / state.pace.as_nanos().max(1);
        usize::try_from(calls).map_or(MOST, |calls| calls.min(MOST))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes out everything, and claims nothing ahead for a while.
    fn clear(&mut self) -> Vec<Assignment> {
        self.pace = UNKNOWN;
        self.waiting.drain(..).map(|(_, claim)| claim).collect()
    }
}

/// Runs one claim after the other until none waits. The slot is the first, so that it is dropped last: who waits for
/// all calls to end finds that nothing else holds the engine.
pub(super) async fn lane(slot: Slot, engine: Arc<Engine>, queue: Arc<Queue>) {
    let (mut took, mut began) = (None, Instant::now());
    while let Some(next) = queue.next(took) {
        if next.ask {
            slot.ask();
        }
        if !next.behind.is_empty() {
            execute::give_back_now(&engine, &next.behind).await;
            began = Instant::now();
        }
        execute::execute(&engine, next.assignment).await;
        // To read the clock costs as much as the rest of this: the end of one call is the beginning of the next.
        let ended = Instant::now();
        took = Some(ended - began);
        began = ended;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::execute::tests::claimed;

    const QUICK: Duration = Duration::from_micros(10);

    fn claim(orphaned: bool) -> Assignment {
        Assignment {
            runnable: 0,
            tasks: vec![claimed("a", orphaned)],
            sent: Instant::now() - Duration::from_mins(1),
            lease: LEASE,
        }
    }

    fn quick() -> Queue {
        let queue = Queue::new(&HandlerConfig::DEFAULT.concurrency(1), true);
        for _ in 0..100 {
            assert!(queue.next(Some(QUICK)).is_none());
        }
        queue
    }

    #[test]
    fn claims_are_ahead_once_calls_are_quick_and_until_one_is_slow() {
        let queue = Queue::new(&HandlerConfig::DEFAULT.concurrency(1), true);
        assert_eq!(queue.room_ahead(), 0);
        let queue = quick();
        assert!(queue.room_ahead() > 100, "{queue:?}");
        assert!(queue.next(Some(Duration::from_secs(1))).is_none());
        assert_eq!((queue.room_ahead(), queue.is_low()), (0, false));
    }

    #[test]
    fn no_more_is_ahead_than_is_done_in_a_moment() {
        let queue = Queue::new(&HandlerConfig::DEFAULT.concurrency(4), true);
        for _ in 0..200 {
            queue.next(Some(Duration::from_millis(1)));
        }
        let most = queue.most(&queue.lock());
        assert!((15..=20).contains(&most), "{queue:?}");
        assert_eq!(queue.room_ahead(), most.div_ceil(PARTS));
    }

    #[test]
    fn the_dispatcher_is_asked_once_when_little_is_left() {
        let queue = quick();
        let many = queue.room_ahead();
        queue.add((0..many).map(|_| claim(false)).collect());
        let asked = (0..many).filter(|_| queue.next(Some(QUICK)).unwrap().ask);
        assert_eq!(asked.count(), 1);
    }

    #[test]
    fn a_task_that_fell_silent_begins_with_nothing_behind_it() {
        let queue = quick();
        queue.add(vec![claim(false), claim(true), claim(false), claim(false)]);
        assert!(queue.next(Some(QUICK)).unwrap().behind.is_empty());
        assert_eq!(queue.next(Some(QUICK)).unwrap().behind.len(), 2);
        assert_eq!((queue.len(), queue.room_ahead()), (0, 0));
    }

    #[test]
    fn what_waits_too_long_is_taken_out() {
        let queue = quick();
        queue.add(vec![claim(false), claim(false)]);
        assert!(
            queue.stale(Duration::from_secs(30)).is_empty(),
            "the answer was late, not the lane"
        );
        assert_eq!(queue.stale(Duration::ZERO).len(), 2);
        assert_eq!((queue.len(), queue.oldest(), queue.room_ahead()), (0, None, 0));
    }
}
