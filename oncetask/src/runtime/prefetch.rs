//! The prefetch buffer: the claimed tasks of one handler that have not begun, and the loop in which each slot
//! runs them.
//!
//! A handler that returns within microseconds would spend most of its time waiting for the next claim. So if
//! the store allows it and the last calls were quick, the dispatcher claims a few milliseconds of work beyond
//! the free slots. Three rules make that harmless:
//!
//! - **A crash delays prefetched tasks by seconds.** While tasks are prefetched, claims ask for a lease of
//!   [`PREFETCH_LEASE`] only. The keeper extends the lease of every claim that begins and takes longer.
//! - **No task waits behind a slow call.** A claim that has not begun within [`MAX_WAIT`] is released for
//!   other workers, without counting an attempt. Prefetching stops until many calls in a row were quick.
//! - **No task fails because of its neighbour.** After a crash a prefetched task cannot be told from a task that
//!   ran, so both count as an attempt. Therefore nothing is prefetched for a handler that allows one attempt
//!   only. And a task whose previous attempt was orphaned may be the cause of a crash, so it begins only after
//!   the claims behind it are released.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::engine::Engine;
use super::execute::{self, Assignment};
use crate::handler::{HandlerConfig, HandlerError, Retry};
use crate::panics;
use crate::spawn::TrackGuard;

/// The length of the leases of claims that include prefetched tasks.
pub(super) const PREFETCH_LEASE: Duration = Duration::from_secs(3);
/// The time that a claim waits in the buffer before it is released.
pub(super) const MAX_WAIT: Duration = Duration::from_millis(50);
/// The duration of the work that is prefetched for each slot. A call that takes longer is not quick.
const MAX_WORK: Duration = Duration::from_millis(5);
/// The maximum number of prefetched claims.
const MAX_CLAIMS: usize = 1500;
/// The number of parts of the buffer: one part runs, one waits and one is being claimed.
const PARTS: usize = 3;
/// The assumed duration of a call before any has ended. It takes about 40 quick calls to bring the average
/// below [`MAX_WORK`].
const INITIAL_AVERAGE: Duration = Duration::from_secs(1);
/// The weight of the newest call in the moving average is one divided by this number.
const AVERAGE_WINDOW: u32 = 8;

/// A message from a slot to the dispatcher.
pub(super) enum SlotEvent {
    /// The slot of the handler with this index is free.
    Freed(usize),
    /// The prefetch buffer of a handler is nearly empty.
    BufferLow,
}

/// A slot that is in use. It is free again when this is dropped, even after a panic.
pub(super) struct Slot {
    /// The index of the handler in the dispatcher.
    pub(super) handler: usize,
    pub(super) events: mpsc::UnboundedSender<SlotEvent>,
    pub(super) _running: TrackGuard,
}

impl Slot {
    /// Tells the dispatcher that the prefetch buffer is nearly empty.
    fn report_low_buffer(&self) {
        self.send(SlotEvent::BufferLow);
    }

    fn send(&self, event: SlotEvent) {
        // The dispatcher outlives its slots.
        let _ = self.events.send(event);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.send(SlotEvent::Freed(self.handler));
    }
}

/// The claims of one handler that have not begun.
#[derive(Debug)]
pub(super) struct PrefetchBuffer {
    slots: u32,
    /// True if the store and the retry policies of the handler allow prefetching.
    may_prefetch: bool,
    state: Mutex<BufferState>,
}

#[derive(Debug)]
struct BufferState {
    /// The claims, each with the instant at which it arrived in this process. The time that the store took to
    /// answer does not count as waiting.
    waiting: VecDeque<(Instant, Assignment)>,
    /// The moving average of the durations of the last calls.
    average_call: Duration,
    /// True if the dispatcher was told that the buffer is nearly empty.
    low_reported: bool,
}

/// The next claim for a slot.
struct NextAssignment {
    assignment: Assignment,
    /// True if the dispatcher must be told that the buffer is nearly empty.
    report_low: bool,
    /// The claims behind it, which are released before it begins. Empty unless it may be the cause of a
    /// crash.
    behind: Vec<Assignment>,
}

impl PrefetchBuffer {
    /// Returns the empty buffer of a handler. `store_allows` tells whether the store allows prefetching.
    pub(super) fn new(config: &HandlerConfig, store_allows: bool) -> Self {
        let allows_retry = |retry: &Retry| {
            panics::catch(|| retry.delay(1, &HandlerError::from(""))).is_ok_and(|delay| delay.is_some())
        };
        let state = BufferState {
            waiting: VecDeque::new(),
            average_call: INITIAL_AVERAGE,
            low_reported: false,
        };
        Self {
            slots: config.concurrency,
            may_prefetch: store_allows
                && allows_retry(&config.retry)
                && allows_retry(&config.on_cancel_retry),
            state: Mutex::new(state),
        }
    }

    /// Adds claims that have just arrived.
    pub(super) fn add(&self, claims: Vec<Assignment>) {
        let mut state = self.lock();
        let now = Instant::now();
        state.waiting.extend(claims.into_iter().map(|claim| (now, claim)));
        state.low_reported = false;
    }

    /// Returns the number of waiting claims.
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Returns the instant of arrival of the claim that waits longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.lock().waiting.front().map(|(arrived, _)| *arrived)
    }

    /// Returns the number of claims to prefetch with the next request.
    pub(super) fn prefetch_count(&self) -> usize {
        let state = self.lock();
        let capacity = self.capacity(&state);
        let free = capacity.saturating_sub(state.waiting.len());
        free.min(capacity.div_ceil(PARTS))
    }

    /// Returns whether the buffer is nearly empty, so that it is time to prefetch more.
    pub(super) fn is_low(&self) -> bool {
        self.is_low_in(&self.lock())
    }

    /// Removes all claims if the oldest has waited this long.
    pub(super) fn take_stale(&self, age: Duration) -> Vec<Assignment> {
        let mut state = self.lock();
        match state.waiting.front() {
            Some((arrived, _)) if arrived.elapsed() >= age => state.clear(),
            _ => Vec::new(),
        }
    }

    /// Returns the next claim for a slot, and records the duration of the slot's last call.
    fn next(&self, last_call: Option<Duration>) -> Option<NextAssignment> {
        let mut state = self.lock();
        if let Some(last_call) = last_call {
            let weighted = state.average_call.saturating_mul(AVERAGE_WINDOW - 1);
            state.average_call = weighted.saturating_add(last_call) / AVERAGE_WINDOW;
        }
        let (_, assignment) = state.waiting.pop_front()?;
        let behind = if assignment.tasks.iter().any(|task| task.orphaned) {
            state.clear()
        } else {
            Vec::new()
        };
        let report_low = !state.low_reported && self.is_low_in(&state);
        state.low_reported |= report_low;
        Some(NextAssignment {
            assignment,
            report_low,
            behind,
        })
    }

    fn is_low_in(&self, state: &BufferState) -> bool {
        state.waiting.len() * PARTS < self.capacity(state) * (PARTS - 1)
    }

    /// Returns the maximum number of claims in the buffer at the current speed of the handler.
    fn capacity(&self, state: &BufferState) -> usize {
        if !self.may_prefetch || state.average_call > MAX_WORK {
            return 0;
        }
        let calls = MAX_WORK.as_nanos() * u128::from(self.slots) / state.average_call.as_nanos().max(1);
        usize::try_from(calls).map_or(MAX_CLAIMS, |calls| calls.min(MAX_CLAIMS))
    }

    fn lock(&self) -> MutexGuard<'_, BufferState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BufferState {
    /// Removes all claims, and stops prefetching until many calls in a row were quick.
    fn clear(&mut self) -> Vec<Assignment> {
        self.average_call = INITIAL_AVERAGE;
        self.waiting.drain(..).map(|(_, claim)| claim).collect()
    }
}

/// Runs the claims of a buffer in one slot until none waits.
///
/// The slot is the first parameter, so that it is dropped last: a shutdown that waits for all slots then
/// finds that nothing else owns the engine.
pub(super) async fn run_slot(slot: Slot, engine: Arc<Engine>, buffer: Arc<PrefetchBuffer>) {
    let (mut last_call, mut began) = (None, Instant::now());
    while let Some(next) = buffer.next(last_call) {
        if next.report_low {
            slot.report_low_buffer();
        }
        if !next.behind.is_empty() {
            execute::release_now(&engine, &next.behind).await;
            began = Instant::now();
        }
        execute::execute(&engine, next.assignment).await;
        // The clock is read once per call, because reading it costs as much as the rest of the loop.
        let ended = Instant::now();
        last_call = Some(ended - began);
        began = ended;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::OnceTask;
    use crate::handler::Handler;
    use crate::lease::testing::claimed;
    use crate::task::TaskId;

    const QUICK: Duration = Duration::from_micros(10);

    #[derive(serde::Serialize, serde::Deserialize)]
    struct A {}

    impl OnceTask for A {
        const KIND: &'static str = "A";

        fn id(&self) -> TaskId {
            "a".into()
        }
    }

    fn claim(orphaned: bool) -> Assignment {
        Assignment {
            handler: Arc::new(Handler::new(|_: A| async {})),
            tasks: vec![claimed("a", orphaned)],
            sent: Instant::now() - Duration::from_mins(1),
            lease: PREFETCH_LEASE,
        }
    }

    fn after_quick_calls() -> PrefetchBuffer {
        let buffer = PrefetchBuffer::new(&HandlerConfig::DEFAULT.concurrency(1), true);
        for _ in 0..100 {
            assert!(buffer.next(Some(QUICK)).is_none());
        }
        buffer
    }

    #[test]
    fn claims_are_prefetched_after_many_quick_calls_and_not_after_a_slow_one() {
        let buffer = PrefetchBuffer::new(&HandlerConfig::DEFAULT.concurrency(1), true);
        assert_eq!(buffer.prefetch_count(), 0);
        let buffer = after_quick_calls();
        assert!(buffer.prefetch_count() > 100, "{buffer:?}");
        assert!(buffer.next(Some(Duration::from_secs(1))).is_none());
        assert_eq!((buffer.prefetch_count(), buffer.is_low()), (0, false));
    }

    #[test]
    fn the_buffer_holds_a_few_milliseconds_of_work() {
        let buffer = PrefetchBuffer::new(&HandlerConfig::DEFAULT.concurrency(4), true);
        for _ in 0..200 {
            buffer.next(Some(Duration::from_millis(1)));
        }
        let capacity = buffer.capacity(&buffer.lock());
        assert!((15..=20).contains(&capacity), "{buffer:?}");
        assert_eq!(buffer.prefetch_count(), capacity.div_ceil(PARTS));
    }

    #[test]
    fn a_nearly_empty_buffer_is_reported_once() {
        let buffer = after_quick_calls();
        let many = buffer.prefetch_count();
        buffer.add((0..many).map(|_| claim(false)).collect());
        let reports = (0..many).filter(|_| buffer.next(Some(QUICK)).unwrap().report_low);
        assert_eq!(reports.count(), 1);
    }

    #[test]
    fn the_claims_behind_an_orphaned_task_are_released_before_it_begins() {
        let buffer = after_quick_calls();
        buffer.add(vec![claim(false), claim(true), claim(false), claim(false)]);
        assert!(buffer.next(Some(QUICK)).unwrap().behind.is_empty());
        assert_eq!(buffer.next(Some(QUICK)).unwrap().behind.len(), 2);
        assert_eq!((buffer.len(), buffer.prefetch_count()), (0, 0));
    }

    #[test]
    fn claims_that_wait_too_long_are_removed() {
        let buffer = after_quick_calls();
        buffer.add(vec![claim(false), claim(false)]);
        assert!(
            buffer.take_stale(Duration::from_secs(30)).is_empty(),
            "the time that the store took to answer counted as waiting"
        );
        assert_eq!(buffer.take_stale(Duration::ZERO).len(), 2);
        assert_eq!(
            (buffer.len(), buffer.oldest(), buffer.prefetch_count()),
            (0, None, 0)
        );
    }
}
