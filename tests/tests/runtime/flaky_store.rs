//! A store that forwards to another one, records its calls, and fails or hangs when a test requests it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use oncetask::store::{
    Action, BoxFuture, ClaimRequest, ClaimResponse, Demand, Filter, Finish, Insert, Notifier, Page, Query,
    Renewal, Renewed, Store, Subscription, Topic,
};
use oncetask::task::transition::{Change, LeaseLost};
use oncetask::{Client, StoreError, StoreErrorKind, Task, TaskId};
use tokio::sync::Notify;

/// Controls a [`FlakyStore`], and shows its calls.
#[derive(Debug, Default)]
pub(crate) struct StoreControl {
    /// The number of claims that still fail.
    failing_claims: AtomicUsize,
    /// The number of finishes that still fail.
    failing_finishes: AtomicUsize,
    /// The number of renewals that still fail.
    failing_renewals: AtomicUsize,
    /// True if claims, renewals and finishes never return.
    hangs: AtomicBool,
    /// A task whose finishes and renewals fail permanently.
    damaged: Mutex<Option<TaskId>>,
    /// True if responses with claims wait for `release`.
    holds_claims: AtomicBool,
    release: Notify,
    /// The delay of each claim in milliseconds.
    claim_delay: AtomicU64,
    /// True if subscriptions use `notifier` instead of the store's own.
    uses_own_notifier: AtomicBool,
    /// The notifier of the test.
    pub(crate) notifier: Notifier,
    /// The renewals that were requested.
    renewals: Mutex<Vec<Renewal>>,
    /// The number of calls of `claim`.
    claim_calls: AtomicUsize,
    /// The number of calls of `finish`.
    finish_calls: AtomicUsize,
    /// The demands that were requested.
    demands: Mutex<Vec<Demand>>,
}

#[derive(Debug)]
struct FlakyStore {
    inner: Arc<dyn Store>,
    control: Arc<StoreControl>,
}

/// Returns a client of the same store behind a [`FlakyStore`].
pub(crate) fn flaky(client: &Client) -> (Client, Arc<StoreControl>) {
    let control = Arc::<StoreControl>::default();
    let store = FlakyStore {
        inner: client.store().clone(),
        control: control.clone(),
    };
    (Client::new(store).with_clock(client.clock().clone()), control)
}

impl StoreControl {
    /// Makes the next claims fail.
    pub(crate) fn fail_claims(&self, count: usize) {
        self.failing_claims.store(count, SeqCst);
    }

    /// Makes the next finishes fail.
    pub(crate) fn fail_finishes(&self, count: usize) {
        self.failing_finishes.store(count, SeqCst);
    }

    /// Makes the next renewals fail.
    pub(crate) fn fail_renewals(&self, count: usize) {
        self.failing_renewals.store(count, SeqCst);
    }

    /// Makes claims, renewals and finishes hang.
    pub(crate) fn hang(&self) {
        self.hangs.store(true, SeqCst);
    }

    /// Makes every finish and renewal that contains this task fail permanently.
    pub(crate) fn damage(&self, id: TaskId) {
        *lock(&self.damaged) = Some(id);
    }

    /// Holds back responses with claims. The tasks are claimed at once.
    pub(crate) fn hold_claims(&self) {
        self.holds_claims.store(true, SeqCst);
    }

    /// Releases the response that is held back. Later responses are not held back.
    pub(crate) fn release_claims(&self) {
        self.holds_claims.store(false, SeqCst);
        self.release.notify_one();
    }

    /// Delays every claim.
    pub(crate) fn delay_claims(&self, delay: Duration) {
        let millis = delay.as_millis().try_into().expect("a short delay");
        self.claim_delay.store(millis, SeqCst);
    }

    /// Makes later subscriptions receive only the notifications of [`Self::notifier`].
    pub(crate) fn use_own_notifier(&self) {
        self.uses_own_notifier.store(true, SeqCst);
    }

    /// Returns the renewals that were requested.
    pub(crate) fn renewals(&self) -> Vec<Renewal> {
        lock(&self.renewals).clone()
    }

    /// Returns the number of requested renewals with progress.
    pub(crate) fn progress_renewals(&self) -> usize {
        let renewals = lock(&self.renewals);
        renewals
            .iter()
            .filter(|renewal| renewal.progress.is_some())
            .count()
    }

    /// Returns the demands that were requested.
    pub(crate) fn demands(&self) -> Vec<Demand> {
        lock(&self.demands).clone()
    }

    /// Returns the number of calls of `claim`.
    pub(crate) fn claim_calls(&self) -> usize {
        self.claim_calls.load(SeqCst)
    }

    /// Returns the number of calls of `finish`.
    pub(crate) fn finish_calls(&self) -> usize {
        self.finish_calls.load(SeqCst)
    }

    /// Returns the number of finishes that still fail.
    pub(crate) fn failing_finishes(&self) -> usize {
        self.failing_finishes.load(SeqCst)
    }

    /// Hangs or fails as the test requests.
    async fn pass(&self, failing: &AtomicUsize) -> Result<(), StoreError> {
        if self.hangs.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        let fails = failing.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() {
            return Err(error(StoreErrorKind::Unavailable));
        }
        Ok(())
    }

    fn is_damaged<'a>(&self, mut ids: impl Iterator<Item = &'a TaskId>) -> bool {
        let damaged = lock(&self.damaged);
        damaged
            .as_ref()
            .is_some_and(|damaged| ids.any(|id| id == damaged))
    }
}

fn error(kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, "flaky", "the store is unavailable")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store for FlakyStore {
    fn address(&self) -> &str {
        self.inner.address()
    }

    fn env(&self) -> &str {
        self.inner.env()
    }

    fn create(&self, tasks: Vec<Task>) -> BoxFuture<'_, Vec<Insert>> {
        self.inner.create(tasks)
    }

    fn get(&self, ids: Vec<TaskId>) -> BoxFuture<'_, Vec<Option<Task>>> {
        self.inner.get(ids)
    }

    fn query(&self, query: Query) -> BoxFuture<'_, Page> {
        self.inner.query(query)
    }

    fn count(&self, filter: Filter, now: DateTime<Utc>) -> BoxFuture<'_, u64> {
        self.inner.count(filter, now)
    }

    fn kinds(&self) -> BoxFuture<'_, Vec<String>> {
        self.inner.kinds()
    }

    fn claim(&self, request: ClaimRequest) -> BoxFuture<'_, ClaimResponse> {
        Box::pin(async move {
            let control = &self.control;
            control.claim_calls.fetch_add(1, SeqCst);
            lock(&control.demands).extend(request.demands.clone());
            control.pass(&control.failing_claims).await?;
            let delay = Duration::from_millis(control.claim_delay.load(SeqCst));
            tokio::time::sleep(delay).await;
            let response = self.inner.claim(request).await?;
            if control.holds_claims.load(SeqCst) && !response.claims.is_empty() {
                control.release.notified().await;
            }
            Ok(response)
        })
    }

    fn may_prefetch(&self) -> bool {
        self.inner.may_prefetch()
    }

    fn renew(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>> {
        Box::pin(async move {
            let control = &self.control;
            lock(&control.renewals).extend(renewals.clone());
            control.pass(&control.failing_renewals).await?;
            if control.is_damaged(renewals.iter().map(|renewal| &renewal.id)) {
                return Err(error(StoreErrorKind::Corrupt));
            }
            self.inner.renew(renewals, now).await
        })
    }

    fn finish(&self, finishes: Vec<Finish>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>> {
        Box::pin(async move {
            let control = &self.control;
            control.finish_calls.fetch_add(1, SeqCst);
            control.pass(&control.failing_finishes).await?;
            if control.is_damaged(finishes.iter().map(|finish| &finish.id)) {
                return Err(error(StoreErrorKind::Corrupt));
            }
            self.inner.finish(finishes, now).await
        })
    }

    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>> {
        self.inner.change(ids, action, now)
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        if self.control.uses_own_notifier.load(SeqCst) {
            self.control.notifier.subscribe(topic)
        } else {
            self.inner.subscribe(topic)
        }
    }
}
