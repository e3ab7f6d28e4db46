//! The conformance suite detects faulty stores: each store here has one fault.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use oncetask::store::{
    Action, BoxFuture, ClaimRequest, ClaimResponse, Filter, Finish, Insert, MemoryStore, Page, Query,
    Renewal, Renewed, Store, Subscription, Topic,
};
use oncetask::task::transition::{Change, LeaseLost};
use oncetask::task::{Task, TaskId};
use tests::conformance::{Harness, Opening, cases};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// No fault.
    None,
    /// Reports tasks as stored that it has not stored.
    LosesTasks,
    /// Returns claims in reverse order.
    ClaimsBackwards,
    /// Accepts a finish under any token.
    AcceptsEveryToken,
    /// Reports leases as extended that it has not extended.
    ForgetsRenewals,
    /// Advances a generator without creating its occurrences.
    ForgetsOccurrences,
    /// Uses the system clock instead of the given time.
    HasItsOwnClock,
    /// Stores the tasks of all environments together.
    SharesEnvironments,
    /// Notifies no subscriber.
    NotifiesNobody,
}

/// A memory store with a fault.
#[derive(Debug)]
struct FaultyStore {
    inner: MemoryStore,
    fault: Fault,
}

impl FaultyStore {
    fn now(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        if self.fault == Fault::HasItsOwnClock {
            Utc::now()
        } else {
            now
        }
    }

    /// Replaces the token by that of the stored lease.
    async fn forge_token(&self, finish: &mut Finish) {
        let found = self.inner.get(vec![finish.id.clone()]).await;
        let stored = found.expect("the store answers").pop().flatten();
        if let Some(lease) = stored.and_then(|task| task.state.lease) {
            finish.token = lease.token;
        }
    }
}

impl Store for FaultyStore {
    fn address(&self) -> &str {
        self.inner.address()
    }

    fn env(&self) -> &str {
        self.inner.env()
    }

    fn create(&self, mut tasks: Vec<Task>) -> BoxFuture<'_, Vec<Insert>> {
        Box::pin(async move {
            let lost = self.fault == Fault::LosesTasks && tasks.len() > 1;
            let lost = lost.then(|| tasks.pop()).flatten();
            let mut inserts = self.inner.create(tasks).await?;
            inserts.extend(lost.map(|_| Insert::New));
            Ok(inserts)
        })
    }

    fn get(&self, ids: Vec<TaskId>) -> BoxFuture<'_, Vec<Option<Task>>> {
        self.inner.get(ids)
    }

    fn query(&self, query: Query) -> BoxFuture<'_, Page> {
        self.inner.query(query)
    }

    fn count(&self, filter: Filter, now: DateTime<Utc>) -> BoxFuture<'_, u64> {
        self.inner.count(filter, self.now(now))
    }

    fn kinds(&self) -> BoxFuture<'_, Vec<String>> {
        self.inner.kinds()
    }

    fn claim(&self, mut request: ClaimRequest) -> BoxFuture<'_, ClaimResponse> {
        request.now = self.now(request.now);
        Box::pin(async move {
            let mut response = self.inner.claim(request).await?;
            if self.fault == Fault::ClaimsBackwards {
                response.claims.reverse();
            }
            Ok(response)
        })
    }

    fn renew(&self, mut renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>> {
        if self.fault == Fault::ForgetsRenewals {
            for renewal in &mut renewals {
                renewal.until = None;
            }
        }
        self.inner.renew(renewals, self.now(now))
    }

    fn finish(
        &self,
        mut finishes: Vec<Finish>,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>> {
        Box::pin(async move {
            for finish in &mut finishes {
                match self.fault {
                    Fault::AcceptsEveryToken => self.forge_token(finish).await,
                    Fault::ForgetsOccurrences => finish.spawn.clear(),
                    _ => {}
                }
            }
            self.inner.finish(finishes, self.now(now)).await
        })
    }

    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>> {
        self.inner.change(ids, action, self.now(now))
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        if self.fault == Fault::NotifiesNobody {
            // The notifier of a store without tasks.
            return MemoryStore::new("").subscribe(topic);
        }
        self.inner.subscribe(topic)
    }
}

impl Harness for FaultyStore {
    fn open<'a>(&'a self, env: &'a str) -> Opening<'a> {
        let env = if self.fault == Fault::SharesEnvironments {
            ""
        } else {
            env
        };
        let store = Self {
            inner: self.inner.in_env(env),
            fault: self.fault,
        };
        Box::pin(async move { Arc::new(store) as Arc<dyn Store> })
    }
}

/// Returns the cases of these operations that a store with this fault fails.
async fn failed(fault: Fault, operations: &[&str]) -> Vec<String> {
    let cases = cases()
        .into_iter()
        .filter(|case| operations.contains(&case.operation));
    let mut runs = Vec::new();
    for case in cases {
        let inner = MemoryStore::new("");
        let store = FaultyStore { inner, fault };
        runs.push((case.name(), tokio::spawn(async move { case.run(store).await })));
    }
    let mut failed = Vec::new();
    for (name, run) in runs {
        if run.await.is_err() {
            failed.push(name);
        }
    }
    failed
}

/// Checks for each fault that these cases of these operations fail.
macro_rules! detected {
    ($($test:ident: $fault:ident by $($operation:literal),+: $($case:literal),+;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $test() {
            let failed = failed(Fault::$fault, &[$($operation),+]).await;
            for case in [$($case),+] {
                assert!(failed.iter().any(|name| name == case), "{case} passes; the failing cases are {failed:?}");
            }
        }
    )*};
}

detected! {
    lost_tasks_are_detected: LosesTasks by "create", "many":
        "create::results_are_in_request_order", "many::tasks_in_a_create";
    a_wrong_order_is_detected: ClaimsBackwards by "claim", "keys":
        "claim::the_earliest_due_task_is_claimed_first", "claim::of_equal_due_times_the_oldest_task_is_claimed_first",
        "keys::one_call_claims_each_key_once";
    writes_under_lost_claims_are_detected: AcceptsEveryToken by "finish", "takeover":
        "finish::a_foreign_token_is_refused", "takeover::the_previous_claim_cannot_finish";
    forgotten_renewals_are_detected: ForgetsRenewals by "renew", "takeover", "keys":
        "renew::a_lease_is_extended", "takeover::an_extended_lease_is_respected", "keys::a_renewal_keeps_the_key";
    forgotten_occurrences_are_detected: ForgetsOccurrences by "spawn":
        "spawn::a_generator_advances_and_its_occurrence_is_created";
    a_clock_of_its_own_is_detected: HasItsOwnClock by "claim", "finish", "count":
        "claim::a_task_that_is_not_due_is_not_claimed", "finish::complete_stores_the_result",
        "count::pending_tasks_are_the_due_tasks_of_a_kind";
    shared_environments_are_detected: SharesEnvironments by "environments":
        "environments::one_id_in_two_environments_is_two_tasks", "environments::each_environment_claims_its_own_tasks",
        "environments::a_task_of_another_environment_is_not_changed";
    missing_notifications_are_detected: NotifiesNobody by "notifications":
        "notifications::a_new_task_notifies", "notifications::the_end_of_a_task_notifies", "notifications::a_cancellation_stops_the_handler";
}

#[tokio::test]
async fn a_sound_store_passes() {
    tests::conformance::run(|| FaultyStore {
        inner: MemoryStore::new(""),
        fault: Fault::None,
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "the store fails environments::")]
async fn the_entry_point_names_the_failing_case() {
    tests::conformance::run(|| FaultyStore {
        inner: MemoryStore::new(""),
        fault: Fault::SharesEnvironments,
    })
    .await;
}
