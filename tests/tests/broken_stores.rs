//! The conformance suite finds what is wrong with a store: each of these has one fault.

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
    /// What is wrong with none.
    Nothing,
    /// Says that a task is stored which is not.
    LosesTasks,
    /// Claims without an order.
    ClaimsBackwards,
    /// Completes under any token.
    BelievesEveryToken,
    /// Says that leases are extended which are not.
    ForgetsRenewals,
    /// Completes a generator's turn without its occurrences.
    ForgetsOccurrences,
    /// Takes the time from the computer.
    HasItsOwnClock,
    /// Has one environment.
    SharesEnvironments,
    /// Rings nobody.
    RingsNobody,
}

/// A store in memory with a fault.
#[derive(Debug)]
struct Broken {
    sound: MemoryStore,
    fault: Fault,
}

impl Broken {
    fn now(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        if self.fault == Fault::HasItsOwnClock {
            Utc::now()
        } else {
            now
        }
    }

    /// The token under which a task is held, whoever asks.
    async fn forge(&self, finish: &mut Finish) {
        let found = self.sound.get(vec![finish.id.clone()]).await;
        let stored = found.expect("memory answers").pop().flatten();
        if let Some(lease) = stored.and_then(|task| task.state.lease) {
            finish.token = lease.token;
        }
    }
}

impl Store for Broken {
    fn address(&self) -> &str {
        self.sound.address()
    }

    fn env(&self) -> &str {
        self.sound.env()
    }

    fn create(&self, mut tasks: Vec<Task>) -> BoxFuture<'_, Vec<Insert>> {
        Box::pin(async move {
            let lost = self.fault == Fault::LosesTasks && tasks.len() > 1;
            let lost = lost.then(|| tasks.pop()).flatten();
            let mut inserts = self.sound.create(tasks).await?;
            inserts.extend(lost.map(|_| Insert::New));
            Ok(inserts)
        })
    }

    fn get(&self, ids: Vec<TaskId>) -> BoxFuture<'_, Vec<Option<Task>>> {
        self.sound.get(ids)
    }

    fn query(&self, query: Query) -> BoxFuture<'_, Page> {
        self.sound.query(query)
    }

    fn count(&self, filter: Filter, now: DateTime<Utc>) -> BoxFuture<'_, u64> {
        self.sound.count(filter, self.now(now))
    }

    fn kinds(&self) -> BoxFuture<'_, Vec<String>> {
        self.sound.kinds()
    }

    fn claim(&self, mut request: ClaimRequest) -> BoxFuture<'_, ClaimResponse> {
        request.now = self.now(request.now);
        Box::pin(async move {
            let mut claimed = self.sound.claim(request).await?;
            if self.fault == Fault::ClaimsBackwards {
                claimed.claims.reverse();
            }
            Ok(claimed)
        })
    }

    fn renew(&self, mut renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>> {
        if self.fault == Fault::ForgetsRenewals {
            for renewal in &mut renewals {
                renewal.until = None;
            }
        }
        self.sound.renew(renewals, self.now(now))
    }

    fn finish(
        &self,
        mut finishes: Vec<Finish>,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>> {
        Box::pin(async move {
            for finish in &mut finishes {
                match self.fault {
                    Fault::BelievesEveryToken => self.forge(finish).await,
                    Fault::ForgetsOccurrences => finish.spawn.clear(),
                    _ => {}
                }
            }
            self.sound.finish(finishes, self.now(now)).await
        })
    }

    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>> {
        self.sound.change(ids, action, self.now(now))
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        if self.fault == Fault::RingsNobody {
            // A notifier that nobody has a hand on.
            return MemoryStore::new("").subscribe(topic);
        }
        self.sound.subscribe(topic)
    }
}

impl Harness for Broken {
    fn open<'a>(&'a self, env: &'a str) -> Opening<'a> {
        let env = if self.fault == Fault::SharesEnvironments {
            ""
        } else {
            env
        };
        let broken = Self {
            sound: self.sound.in_env(env),
            fault: self.fault,
        };
        Box::pin(async move { Arc::new(broken) as Arc<dyn Store> })
    }
}

/// The cases that a store with this fault fails, among those that are asked of these operations.
async fn failed(fault: Fault, operations: &[&str]) -> Vec<String> {
    let asked = cases()
        .into_iter()
        .filter(|case| operations.contains(&case.operation));
    let mut played = Vec::new();
    for case in asked {
        let sound = MemoryStore::new("");
        let broken = Broken { sound, fault };
        played.push((case.name(), tokio::spawn(async move { case.run(broken).await })));
    }
    let mut failed = Vec::new();
    for (name, played) in played {
        if played.await.is_err() {
            failed.push(name);
        }
    }
    failed
}

macro_rules! found {
    ($($test:ident: $fault:ident by $($operation:literal),+: $($case:literal),+;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $test() {
            let failed = failed(Fault::$fault, &[$($operation),+]).await;
            for case in [$($case),+] {
                assert!(failed.iter().any(|name| name == case), "{case} passes; these fail: {failed:?}");
            }
        }
    )*};
}

found! {
    lost_tasks: LosesTasks by "create", "many":
        "create::results_are_in_request_order", "many::tasks_in_a_create";
    a_wrong_order: ClaimsBackwards by "claim", "keys":
        "claim::the_earliest_due_task_is_claimed_first", "claim::of_equal_due_times_the_oldest_task_is_claimed_first",
        "keys::one_call_claims_each_key_once";
    writes_of_the_dead: BelievesEveryToken by "finish", "takeover":
        "finish::a_foreign_token_is_refused", "takeover::the_previous_claim_cannot_finish";
    forgotten_renewals: ForgetsRenewals by "renew", "takeover", "keys":
        "renew::a_lease_is_extended", "takeover::an_extended_lease_is_respected", "keys::a_renewal_keeps_the_key";
    forgotten_occurrences: ForgetsOccurrences by "spawn":
        "spawn::a_generator_advances_and_its_occurrence_is_created";
    a_clock_of_its_own: HasItsOwnClock by "claim", "finish", "count":
        "claim::a_task_that_is_not_due_is_not_claimed", "finish::complete_stores_the_result",
        "count::pending_tasks_are_the_due_tasks_of_a_kind";
    shared_environments: SharesEnvironments by "environments":
        "environments::one_id_in_two_environments_is_two_tasks", "environments::each_environment_claims_its_own_tasks",
        "environments::a_task_of_another_environment_is_not_changed";
    silence: RingsNobody by "notifications":
        "notifications::a_new_task_notifies", "notifications::the_end_of_a_task_notifies", "notifications::a_cancellation_stops_the_handler";
}

#[tokio::test]
async fn a_sound_store_passes() {
    tests::conformance::run(|| Broken {
        sound: MemoryStore::new(""),
        fault: Fault::Nothing,
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "the store fails environments::")]
async fn the_entry_point_names_what_fails() {
    tests::conformance::run(|| Broken {
        sound: MemoryStore::new(""),
        fault: Fault::SharesEnvironments,
    })
    .await;
}
