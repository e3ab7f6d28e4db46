//! The dispatcher: claims tasks for all handlers of a worker.
//!
//! It knows the free slots of each handler and sleeps until there is a reason to claim: a slot is free, the
//! store sent a wake-up, or the due time that the store returned with its last answer has come. It does not
//! poll. A store without notifications polls inside its own notifier.
//!
//! Claimed tasks wait in the [prefetch buffer](prefetch) of their handler, and each slot of the handler takes
//! its next claim from there.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::task::coop;
use tokio::time::{Instant, sleep};

use super::engine::Engine;
use super::execute::{self, Assignment};
use super::handler_queue::HandlerQueue;
use super::prefetch::{self, Slot, SlotEvent};
use crate::error::StoreError;
use crate::lease::MinLease;
use crate::spawn::TaskTracker;
use crate::store::{ClaimRequest, ClaimResponse, Demand, Subscription, Topic, Wakeup};

/// The longest sleep before the clock is read again, because the computer's clock may be set during the
/// sleep.
const MAX_SLEEP: Duration = Duration::from_mins(1);
const MIN_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// The pause after a claim that returned nothing although tasks were due, because other workers claimed them.
const LOST_RACE_PAUSE: Duration = Duration::from_millis(5);
/// The maximum number of times that the dispatcher yields before a claim.
const MAX_YIELDS: usize = 8;

/// A claim request that was sent.
struct SentRequest {
    demands: Vec<SentDemand>,
    /// The instant of sending on the monotonic clock.
    sent: Instant,
    /// The time of sending on the wall clock.
    now: DateTime<Utc>,
}

/// One demand of a request that was sent, and later its claims.
struct SentDemand {
    /// The index of the handler's queue.
    queue: usize,
    generators_only: bool,
    lease: Duration,
    claims: Vec<Assignment>,
}

/// The events that arrived while a claim request was in flight.
#[derive(Default)]
struct DuringClaim {
    /// True if the store sent a wake-up.
    notified: bool,
    /// True if a slot sent an event.
    slot_event: bool,
}

struct Dispatcher {
    engine: Arc<Engine>,
    queues: Vec<HandlerQueue>,
    /// Counts the slots in use, the advances of generators and the releases that run.
    running: TaskTracker,
    events: mpsc::UnboundedReceiver<SlotEvent>,
    event_sender: mpsc::UnboundedSender<SlotEvent>,
    /// The number of consecutive failed claims.
    failures: u32,
    /// The instant at which a failed claim is repeated.
    retry_at: Option<Instant>,
    min_lease: MinLease,
}

/// Claims and runs tasks until the engine drains, then waits for the calls that still run.
pub(super) async fn dispatch(engine: Arc<Engine>) {
    let (event_sender, events) = mpsc::unbounded_channel();
    let may_prefetch = engine.client.store().may_prefetch();
    let queues = engine
        .handlers
        .iter()
        .map(|handler| HandlerQueue::new(handler, engine.heartbeat, may_prefetch))
        .collect();
    let mut dispatcher = Dispatcher {
        engine,
        queues,
        running: TaskTracker::new(),
        events,
        event_sender,
        failures: 0,
        retry_at: None,
        min_lease: MinLease::default(),
    };
    dispatcher.run().await;
    dispatcher.release_stale(Duration::ZERO);
    dispatcher.running.finished().await;
}

impl Dispatcher {
    async fn run(&mut self) {
        let kinds = self.queues.iter().flat_map(|queue| queue.kinds.clone()).collect();
        let mut subscription = self.engine.client.store().subscribe(Topic::Kinds(kinds));
        let engine = self.engine.clone();
        while !engine.draining.is_set() {
            self.let_slots_free_up().await;
            // Checked on every iteration: under constant traffic another branch always wins and the timer
            // never fires.
            self.check_due();
            self.release_stale(prefetch::MAX_WAIT);
            let wait = match self.until_retry() {
                Some(wait) => wait,
                None if self.wants_claim() => self.claim(&mut subscription).await,
                None => self.until_due(),
            };
            let wait = wait.min(self.until_stale());
            // Wake-ups come first: neither a backlog nor a store outage may delay a cancellation.
            tokio::select! {
                biased;
                () = engine.draining.wait() => {}
                wakeup = subscription.notified() => {
                    self.notified(&wakeup);
                    self.take_events();
                }
                Some(event) = self.events.recv() => {
                    self.handle(&event);
                    self.take_events();
                }
                () = pause(wait) => {}
            }
        }
    }

    fn wants_claim(&self) -> bool {
        self.queues.iter().any(HandlerQueue::wants_claim)
    }

    /// Returns the time until a failed claim is repeated, or `None` if there is no reason to wait.
    fn until_retry(&self) -> Option<Duration> {
        let left = self.retry_at?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Claims for every handler for which a claim is worthwhile. Returns the time to wait afterwards.
    async fn claim(&mut self, subscription: &mut Subscription) -> Duration {
        let (demands, requested) = self.demands().unzip();
        // Both clocks are read before the request is sent, the monotonic one first: see the module `lease`.
        let sent = Instant::now();
        let now = self.engine.client.clock().now();
        let request = ClaimRequest::new(self.engine.owner.clone(), now, requested);
        let (answer, during) = self.send(request, subscription).await;
        let wait = match answer {
            Ok(response) => self.claimed(SentRequest { demands, sent, now }, response),
            Err(error) => self.back_off(&error),
        };
        if during.notified {
            // The answer may be older than the wake-up.
            self.queues.iter_mut().for_each(HandlerQueue::notified);
        }
        if during.notified || during.slot_event {
            return Duration::ZERO;
        }
        wait
    }

    /// Returns a demand for each handler for which a claim is worthwhile.
    fn demands(&self) -> impl Iterator<Item = (SentDemand, Demand)> {
        let queues = self.queues.iter().enumerate();
        queues
            .filter(|(_, queue)| queue.wants_claim())
            .map(|(index, queue)| {
                let generators_only = !queue.can_take_tasks();
                let (demand, lease) = queue.demand(generators_only, self.min_lease.get());
                let sent = SentDemand {
                    queue: index,
                    generators_only,
                    lease,
                    claims: Vec::new(),
                };
                (sent, demand)
            })
    }

    /// Sends a request. Handles the events that arrive before the answer.
    async fn send(
        &mut self,
        request: ClaimRequest,
        subscription: &mut Subscription,
    ) -> (Result<ClaimResponse, StoreError>, DuringClaim) {
        let engine = self.engine.clone();
        let mut claiming = engine.client.store().claim(request);
        let mut during = DuringClaim::default();
        loop {
            tokio::select! {
                biased;
                answer = &mut claiming => return (answer, during),
                wakeup = subscription.notified() => {
                    self.engine.keeper.stopped(&wakeup.stopped);
                    during.notified = true;
                }
                Some(event) = self.events.recv() => {
                    self.handle(&event);
                    during.slot_event = true;
                }
            }
        }
    }

    /// Records the answer to a request and starts the claimed tasks. Returns the time to wait afterwards.
    fn claimed(&mut self, mut request: SentRequest, response: ClaimResponse) -> Duration {
        (self.failures, self.retry_at) = (0, None);
        let longest = request.demands.iter().map(|demand| demand.lease).max();
        self.min_lease
            .record(request.sent.elapsed(), longest.unwrap_or_default());
        let got_nothing = response.claims.is_empty();
        for (demand, next_due) in request.demands.iter().zip(response.next_due) {
            self.queues[demand.queue].record_next_due(demand.generators_only, next_due, request.now);
        }
        for claim in response.claims {
            let demand = &mut request.demands[claim.demand];
            let queue = &mut self.queues[demand.queue];
            queue.record_generators(&claim);
            demand.claims.push(Assignment {
                handler: queue.handler.clone(),
                tasks: claim.tasks,
                sent: request.sent,
                lease: demand.lease,
            });
        }
        for demand in request.demands {
            if demand.generators_only {
                self.advance(demand.claims);
            } else {
                self.queues[demand.queue].buffer.add(demand.claims);
                self.fill_slots(demand.queue);
            }
        }
        match self.wants_claim() {
            true if got_nothing => LOST_RACE_PAUSE,
            true => Duration::ZERO,
            false => self.until_due(),
        }
    }

    /// Records a failed claim. Returns the time after which it is repeated.
    fn back_off(&mut self, error: &StoreError) -> Duration {
        let backoff = MIN_BACKOFF
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(MAX_BACKOFF);
        tracing::warn!(%error, ?backoff, "no tasks could be claimed; retrying");
        self.failures += 1;
        let backoff = backoff.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.retry_at = Some(Instant::now() + backoff);
        backoff
    }

    /// Advances generators, which need no slot.
    fn advance(&self, generators: Vec<Assignment>) {
        for generator in generators {
            let engine = self.engine.clone();
            self.spawn(async move { execute::execute(&engine, generator).await });
        }
    }

    /// Starts a free slot of a handler for each claim that waits.
    fn fill_slots(&mut self, handler: usize) {
        let queue = &mut self.queues[handler];
        let slots = queue.free_slots.min(queue.buffer.len());
        queue.free_slots -= slots;
        for _ in 0..slots {
            let slot = Slot {
                handler,
                events: self.event_sender.clone(),
                _running: self.running.guard(),
            };
            let running = prefetch::run_slot(slot, self.engine.clone(), queue.buffer.clone());
            self.engine.spawner.spawn(running);
        }
    }

    /// Releases the claims of each buffer whose oldest claim has waited this long.
    fn release_stale(&self, age: Duration) {
        for queue in &self.queues {
            let stale = queue.buffer.take_stale(age);
            if !stale.is_empty() {
                let engine = self.engine.clone();
                self.spawn(async move { execute::release(&engine, &stale).await });
            }
        }
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.engine.spawner.spawn(self.running.track(future));
    }

    /// Returns the time until the oldest waiting claim has to be released.
    fn until_stale(&self) -> Duration {
        let oldest = self.queues.iter().filter_map(|queue| queue.buffer.oldest()).min();
        oldest.map_or(MAX_SLEEP, |oldest| {
            prefetch::MAX_WAIT.saturating_sub(oldest.elapsed())
        })
    }

    /// Returns the time until the next task is due that a handler can take. It is zero if one is due already.
    fn until_due(&self) -> Duration {
        let now = self.engine.client.clock().now();
        let due_times = self.queues.iter().filter_map(|queue| queue.due_state().next_due);
        due_times.min().map_or(MAX_SLEEP, |due| {
            (due - now).to_std().unwrap_or_default().min(MAX_SLEEP)
        })
    }

    fn check_due(&mut self) {
        let now = self.engine.client.clock().now();
        for queue in &mut self.queues {
            queue.check_due(now);
        }
    }

    fn notified(&mut self, wakeup: &Wakeup) {
        self.queues.iter_mut().for_each(HandlerQueue::notified);
        self.engine.keeper.stopped(&wakeup.stopped);
    }

    /// Yields a few times so that slots freed at the same moment share one claim. Skipped when a prefetch
    /// buffer is nearly empty: claiming at once is then worth more than batching.
    async fn let_slots_free_up(&mut self) {
        let claims_at_once = |queue: &HandlerQueue| queue.wants_claim() && queue.buffer.is_low();
        if self.queues.iter().any(claims_at_once) {
            // A store may answer without ever suspending the dispatcher.
            return coop::consume_budget().await;
        }
        for _ in 0..MAX_YIELDS {
            tokio::task::yield_now().await;
            if self.take_events() == 0 {
                return;
            }
        }
    }

    /// Handles the events that have arrived. Returns their number.
    fn take_events(&mut self) -> usize {
        let mut count = 0;
        while let Ok(event) = self.events.try_recv() {
            self.handle(&event);
            count += 1;
        }
        count
    }

    fn handle(&mut self, event: &SlotEvent) {
        let SlotEvent::Freed(handler) = *event else { return };
        self.queues[handler].slot_freed();
        // A claim may have arrived just when the slot found the buffer empty.
        self.fill_slots(handler);
    }
}

/// Sleeps, unless the duration is zero: a timer would take a millisecond.
async fn pause(duration: Duration) {
    if !duration.is_zero() {
        sleep(duration).await;
    }
}
