//! A store in front of another one, which can be made to fail, to hang, and to count.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use oncetask::store::{
    Action, BoxFuture, ClaimRequest, ClaimResponse, Demand, Filter, Finish, Insert, Notifier, Page, Query,
    Renewal, Renewed, Store, Subscription, Topic,
};
use oncetask::task::transition::{Change, LeaseLost};
use oncetask::{Client, StoreError, StoreErrorKind, Task, TaskId};

/// The knobs of a [`Flaky`] store.
#[derive(Debug, Default)]
pub(crate) struct Knobs {
    /// How many claims fail from now on.
    pub(crate) claims: AtomicUsize,
    /// How many ends of claims fail from now on.
    pub(crate) finishes: AtomicUsize,
    /// How many extensions fail from now on.
    pub(crate) renewals: AtomicUsize,
    /// Whether nothing that is written is answered any more.
    pub(crate) hangs: AtomicBool,
    /// A task whose end can never be stored, and whose lease cannot be extended.
    pub(crate) poison: Mutex<Option<TaskId>>,
    /// Whether claims wait for [`Self::answer_claims`].
    pub(crate) slow_claims: AtomicBool,
    pub(crate) answer_claims: tokio::sync::Notify,
    /// How long every claim is on its way, in milliseconds.
    pub(crate) claims_take: AtomicU64,
    /// Whether the notifier below is the only one that rings.
    pub(crate) own_bell: AtomicBool,
    pub(crate) notifier: Notifier,
    /// The extensions asked for.
    pub(crate) renewed: Mutex<Vec<Renewal>>,
    /// How many claims were asked for, and how many calls of ends of claims.
    pub(crate) claimed: AtomicUsize,
    pub(crate) finished: AtomicUsize,
    /// The room that was asked for.
    pub(crate) wanted: Mutex<Vec<Demand>>,
}

#[derive(Debug)]
struct Flaky {
    inner: Arc<dyn Store>,
    knobs: Arc<Knobs>,
}

/// A client of the same store, with knobs.
pub(crate) fn flaky(client: &Client) -> (Client, Arc<Knobs>) {
    let knobs = Arc::<Knobs>::default();
    let store = Flaky {
        inner: client.store().clone(),
        knobs: knobs.clone(),
    };
    (Client::new(store).with_clock(client.clock().clone()), knobs)
}

impl Knobs {
    /// How many extensions carried progress.
    pub(crate) fn progress_stored(&self) -> usize {
        let renewed = self.renewed.lock().expect("no test panics with it");
        renewed
            .iter()
            .filter(|renewal| renewal.progress.is_some())
            .count()
    }

    async fn pass(&self, budget: &AtomicUsize) -> Result<(), StoreError> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let fails = budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() {
            return Err(error(StoreErrorKind::Unavailable));
        }
        Ok(())
    }

    fn poisons<'a>(&self, mut ids: impl Iterator<Item = &'a TaskId>) -> bool {
        let poison = self.poison.lock().expect("no test panics with it");
        poison.as_ref().is_some_and(|poison| ids.any(|id| id == poison))
    }
}

fn error(kind: StoreErrorKind) -> StoreError {
    StoreError {
        kind,
        store: "flaky".into(),
        message: "the store is away".into(),
    }
}

impl Store for Flaky {
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
            self.knobs.claimed.fetch_add(1, Ordering::SeqCst);
            let wanted = &self.knobs.wanted;
            wanted
                .lock()
                .expect("no test panics with it")
                .extend(request.demands.clone());
            self.knobs.pass(&self.knobs.claims).await?;
            let takes = Duration::from_millis(self.knobs.claims_take.load(Ordering::SeqCst));
            tokio::time::sleep(takes).await;
            let claimed = self.inner.claim(request).await?;
            if self.knobs.slow_claims.load(Ordering::SeqCst) && !claimed.claims.is_empty() {
                self.knobs.answer_claims.notified().await;
            }
            Ok(claimed)
        })
    }

    fn may_prefetch(&self) -> bool {
        self.inner.may_prefetch()
    }

    fn renew(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>> {
        Box::pin(async move {
            let renewed = &self.knobs.renewed;
            renewed
                .lock()
                .expect("no test panics with it")
                .extend(renewals.clone());
            self.knobs.pass(&self.knobs.renewals).await?;
            if self.knobs.poisons(renewals.iter().map(|renewal| &renewal.id)) {
                return Err(error(StoreErrorKind::Corrupt));
            }
            self.inner.renew(renewals, now).await
        })
    }

    fn finish(&self, finishes: Vec<Finish>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>> {
        Box::pin(async move {
            self.knobs.finished.fetch_add(1, Ordering::SeqCst);
            self.knobs.pass(&self.knobs.finishes).await?;
            if self.knobs.poisons(finishes.iter().map(|finish| &finish.id)) {
                return Err(error(StoreErrorKind::Corrupt));
            }
            self.inner.finish(finishes, now).await
        })
    }

    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>> {
        self.inner.change(ids, action, now)
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        if self.knobs.own_bell.load(Ordering::SeqCst) {
            self.knobs.notifier.subscribe(topic)
        } else {
            self.inner.subscribe(topic)
        }
    }
}
