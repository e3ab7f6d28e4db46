//! Claims: one dispatcher a process, which knows each handler's free slots and sleeps until there is a reason
//! to look.
//!
//! A reason is: a slot got free, the store rang, or the earliest instant has come at which the store said
//! that a task would be due. There is no polling; a store that cannot ring polls behind its own notifier.
//!
//! What was claimed goes to its handler's queue (see [`lanes`]), and a lane for each slot works that off.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::task::coop;
use tokio::time::{Instant, sleep};

use super::Engine;
use super::drive::{OnItsWay, UnderWay};
use super::execute::{self, Assignment};
use super::lanes;
use super::room::Room;
use super::stretch::Stretch;
use crate::error::StoreError;
use crate::store::{ClaimRequest, ClaimResponse, Subscription, Topic, Wakeup};

/// The longest sleep before the clock is read again: the computer's clock may have been set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(10);
/// How long to leave the queue alone when others took everything that was due.
const LOST_RACE: Duration = Duration::from_millis(5);
/// How often, at the most, a claim lets others go first.
const GATHER: usize = 8;

/// What was asked for: by which handler, and whether only its generators.
#[derive(Clone, Copy)]
struct Asked {
    place: usize,
    turns: bool,
}

/// What came while a claim was on its way.
#[derive(Default)]
struct Meanwhile {
    /// The store rang.
    rang: bool,
    /// A lane told something.
    heard: bool,
}

/// What a lane tells the dispatcher.
enum News {
    /// It has ended: its slot is free.
    Free(usize),
    /// Its queue is about to run dry.
    Low,
}

/// A slot that is taken. It is free again when this is dropped, whatever happened.
pub(super) struct Slot {
    place: usize,
    news: mpsc::UnboundedSender<News>,
    _call: OnItsWay,
}

impl Slot {
    /// Asks for more to run.
    pub(super) fn ask(&self) {
        // The dispatcher outlives its lanes.
        let _ = self.news.send(News::Low);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let _ = self.news.send(News::Free(self.place));
    }
}

struct Dispatcher {
    engine: Arc<Engine>,
    rooms: Vec<Room>,
    calls: UnderWay,
    heard: mpsc::UnboundedReceiver<News>,
    news: mpsc::UnboundedSender<News>,
    failures: u32,
    /// When a claim that failed is tried again.
    retry_at: Option<Instant>,
    stretch: Stretch,
}

/// Claims and runs tasks until the engine drains, then waits for the calls that are under way.
pub(super) async fn dispatch(engine: Arc<Engine>) {
    let (news, heard) = mpsc::unbounded_channel();
    let ahead = engine.client.store().may_prefetch();
    let rooms = engine
        .runnables
        .iter()
        .map(|runnable| Room::of(runnable, engine.heartbeat, ahead))
        .collect();
    let calls = UnderWay::new();
    let mut dispatcher = Dispatcher {
        engine,
        rooms,
        calls,
        heard,
        news,
        failures: 0,
        retry_at: None,
        stretch: Stretch::default(),
    };
    dispatcher.run().await;
    dispatcher.give_back(Duration::ZERO);
    dispatcher.calls.ended().await;
}

impl Dispatcher {
    async fn run(&mut self) {
        let kinds = self.rooms.iter().flat_map(|room| room.kinds.clone()).collect();
        let mut subscription = self.engine.client.store().subscribe(Topic::Kinds(kinds));
        let engine = self.engine.clone();
        while !engine.draining.is_set() {
            self.gather_news().await;
            // Not only after a pause: where there is always something to hear, none comes to its end.
            self.look_at_due();
            self.give_back(lanes::STALE);
            let wait = match self.until_retry() {
                Some(wait) => wait,
                None if self.rooms.iter().any(Room::demands) => self.claim(&mut subscription).await,
                None => self.until_due(),
            };
            let wait = wait.min(self.until_stale());
            // It is always heard who rings: neither a backlog nor a store in trouble must keep cancellations waiting.
            tokio::select! {
                biased;
                () = engine.draining.wait() => {}
                rung = subscription.notified() => {
                    self.rung(&rung);
                    self.take_news();
                }
                Some(news) = self.heard.recv() => {
                    self.hear(&news);
                    self.take_news();
                }
                () = pause(wait) => {}
            }
        }
    }

    /// How long the store is still to be left alone, after a claim that failed.
    fn until_retry(&self) -> Option<Duration> {
        let left = self.retry_at?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Claims for every handler that has room. Returns how long to wait afterwards.
    async fn claim(&mut self, subscription: &mut Subscription) -> Duration {
        let asked: Vec<_> = (0..self.rooms.len())
            .filter(|place| self.rooms[*place].demands())
            .map(|place| Asked {
                place,
                turns: !self.rooms[place].claims_tasks(),
            })
            .collect();
        let (demands, leases): (Vec<_>, Vec<_>) = asked
            .iter()
            .map(|asked| self.rooms[asked.place].demand(asked.turns, self.stretch.least()))
            .unzip();
        // Read before the clock that the lease is stored by, and before the request is sent: see the module `lease`.
        let sent = Instant::now();
        let now = self.engine.client.clock().now();
        let request = ClaimRequest {
            owner: self.engine.owner.clone(),
            now,
            demands,
        };
        let (answer, meanwhile) = self.answer(request, subscription).await;
        let wait = match answer {
            Ok(claimed) => {
                (self.failures, self.retry_at) = (0, None);
                self.claimed(&asked, &leases, claimed, (sent, now))
            }
            Err(error) => {
                let delay = FIRST_RETRY
                    .saturating_mul(2_u32.saturating_pow(self.failures))
                    .min(LAST_RETRY);
                tracing::warn!(%error, ?delay, "no tasks could be claimed; trying again");
                self.failures += 1;
                let delay = delay.mul_f64(0.5 + fastrand::f64() / 2.0);
                self.retry_at = Some(Instant::now() + delay);
                delay
            }
        };
        if meanwhile.rang {
            // The answer does not know what rang while it was on its way.
            self.rooms.iter_mut().for_each(Room::rung);
        }
        if meanwhile.rang || meanwhile.heard {
            return Duration::ZERO;
        }
        wait
    }

    /// The store's answer to a claim, and what happened meanwhile.
    async fn answer(
        &mut self,
        request: ClaimRequest,
        subscription: &mut Subscription,
    ) -> (Result<ClaimResponse, StoreError>, Meanwhile) {
        let engine = self.engine.clone();
        let mut claiming = engine.client.store().claim(request);
        let mut meanwhile = Meanwhile::default();
        loop {
            tokio::select! {
                biased;
                answer = &mut claiming => return (answer, meanwhile),
                rung = subscription.notified() => {
                    self.engine.keeper.stopped(&rung.stopped);
                    meanwhile.rang = true;
                }
                Some(news) = self.heard.recv() => {
                    self.hear(&news);
                    meanwhile.heard = true;
                }
            }
        }
    }

    fn claimed(
        &mut self,
        asked: &[Asked],
        leases: &[Duration],
        claimed: ClaimResponse,
        (sent, now): (Instant, DateTime<Utc>),
    ) -> Duration {
        let longest = leases.iter().max().copied().unwrap_or_default();
        self.stretch.took(sent.elapsed(), longest);
        let got_nothing = claimed.claims.is_empty();
        for (asked, due) in asked.iter().zip(claimed.next_due) {
            self.rooms[asked.place].answered(asked.turns, due, now);
        }
        let mut claims: Vec<_> = asked.iter().map(|_| Vec::new()).collect();
        for claim in claimed.claims {
            let place = asked[claim.demand].place;
            self.rooms[place].learn(&claim);
            claims[claim.demand].push(Assignment {
                runnable: place,
                tasks: claim.tasks,
                sent,
                lease: leases[claim.demand],
            });
        }
        for (Asked { place, turns }, claims) in asked.iter().zip(claims) {
            if *turns {
                self.take_turns(claims);
            } else {
                self.rooms[*place].queue.add(claims);
                self.open_lanes(*place);
            }
        }
        match self.rooms.iter().any(Room::demands) {
            true if got_nothing => LOST_RACE,
            true => Duration::ZERO,
            false => self.until_due(),
        }
    }

    /// Generators need no slot.
    fn take_turns(&self, generators: Vec<Assignment>) {
        for generator in generators {
            let engine = self.engine.clone();
            self.spawn(async move { execute::execute(&engine, generator).await });
        }
    }

    /// Opens a lane for each slot that has none, as far as there is work.
    fn open_lanes(&mut self, place: usize) {
        let room = &mut self.rooms[place];
        let lanes = room.free.min(room.queue.len());
        room.free -= lanes;
        for _ in 0..lanes {
            let slot = Slot {
                place,
                news: self.news.clone(),
                _call: self.calls.one_more(),
            };
            let lane = lanes::lane(slot, self.engine.clone(), room.queue.clone());
            self.engine.drive.spawn(lane);
        }
    }

    /// Gives back what has been claimed for so long and has not begun.
    fn give_back(&self, stale: Duration) {
        for room in &self.rooms {
            let assignments = room.queue.stale(stale);
            if !assignments.is_empty() {
                let engine = self.engine.clone();
                self.spawn(async move { execute::give_back(&engine, &assignments).await });
            }
        }
    }

    fn spawn(&self, call: impl Future<Output = ()> + Send + 'static) {
        self.engine.drive.spawn(self.calls.track(call));
    }

    /// How long until something has to be given back.
    fn until_stale(&self) -> Duration {
        let oldest = self.rooms.iter().filter_map(|room| room.queue.oldest()).min();
        oldest.map_or(LONGEST_SLEEP, |oldest| {
            lanes::STALE.saturating_sub(oldest.elapsed())
        })
    }

    /// How long to sleep until the next task is due for which there is room.
    fn until_due(&self) -> Duration {
        let now = self.engine.client.clock().now();
        let due = self.rooms.iter().filter_map(|room| room.outlook().due).min();
        // What is due already is not slept for.
        due.map_or(LONGEST_SLEEP, |due| {
            (due - now).to_std().unwrap_or_default().min(LONGEST_SLEEP)
        })
    }

    fn look_at_due(&mut self) {
        let now = self.engine.client.clock().now();
        for room in &mut self.rooms {
            room.look_at_due(now);
        }
    }

    fn rung(&mut self, rung: &Wakeup) {
        self.rooms.iter_mut().for_each(Room::rung);
        self.engine.keeper.stopped(&rung.stopped);
    }

    /// Slots that get free together share one claim: handlers that are about to end go first. Not where the lanes
    /// would be out of work before the claim is answered: then news is heard while the claim is on its way, or
    /// after it.
    async fn gather_news(&mut self) {
        if self
            .rooms
            .iter()
            .any(|room| room.demands() && room.queue.is_low())
        {
            // A store may answer without ever having to wait.
            return coop::consume_budget().await;
        }
        for _ in 0..GATHER {
            tokio::task::yield_now().await;
            if self.take_news() == 0 {
                return;
            }
        }
    }

    fn take_news(&mut self) -> usize {
        let mut heard = 0;
        while let Ok(news) = self.heard.try_recv() {
            self.hear(&news);
            heard += 1;
        }
        heard
    }

    fn hear(&mut self, news: &News) {
        let News::Free(place) = *news else { return };
        self.rooms[place].slot_freed();
        // What came just when the lane ended.
        self.open_lanes(place);
    }
}

async fn pause(wait: Duration) {
    // The timer would take a millisecond for nothing.
    if !wait.is_zero() {
        sleep(wait).await;
    }
}
