//! The same random operations on this store and on the memory store give the same results and leave the same
//! tasks.

use std::collections::HashMap;

use chrono::TimeDelta;
use fastrand::Rng;

use super::{at, store};
use crate::schedule::Recurrence;
use crate::store::sqlite::{Durability, SqliteStore};
use crate::store::{
    Action, ClaimRequest, ClaimResponse, Demand, Filter, Finish, MemoryStore, Order, Query, Renewal, Store,
};
use crate::task::transition::Verdict;
use crate::task::{
    AttemptError, Json, LeaseToken, Occurrence, Progress, ResourceKey, Status, Task, TaskId, TaskSpec,
};

const KINDS: [&str; 3] = ["Mail", "Sync", "Report"];
const IDS: usize = 40;

struct StorePair {
    memory: MemoryStore,
    sqlite: SqliteStore,
    rng: Rng,
    now: i64,
    /// The tokens of the claims of each task: the memory store's and this store's.
    tokens: HashMap<TaskId, Vec<(LeaseToken, LeaseToken)>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_operations_have_the_same_effects_as_on_the_memory_store() {
    for seed in 0..12 {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let options = SqliteStore::options(directory.path().join("tasks.db"));
        let sqlite = options.durability(Durability::Normal).open("TEST").await;
        let sqlite = sqlite.expect("the file is opened");
        let mut pair = StorePair {
            memory: MemoryStore::new("TEST"),
            sqlite,
            rng: Rng::with_seed(seed),
            now: 0,
            tokens: HashMap::new(),
        };
        for step in 0..150 {
            pair.step().await;
            if step % 30 == 29 {
                pair.compare(&format!("seed {seed}, step {step}")).await;
            }
        }
    }
}

impl StorePair {
    async fn step(&mut self) {
        self.now += self.rng.i64(0..3);
        match self.rng.u8(0..10) {
            0..3 => self.create().await,
            3..5 => self.claim().await,
            5 => self.renew().await,
            6..9 => self.finish().await,
            _ => self.change().await,
        }
    }

    fn id(&mut self) -> TaskId {
        TaskId::new(format!("task-{}", self.rng.usize(..IDS)))
    }

    fn task(&mut self) -> Task {
        let key = self.rng.u8(0..6);
        let occurrence = (self.rng.u8(0..4) == 0).then(|| Occurrence {
            generator: TaskId::new("generator"),
            at: at(self.now),
        });
        let is_generator = occurrence.is_none() && self.rng.u8(0..4) == 0;
        let spec = TaskSpec {
            id: self.id(),
            kind: KINDS[self.rng.usize(..KINDS.len())].into(),
            payload: Json::of(&[self.now]).expect("JSON"),
            resource_key: (key < 3).then(|| format!("key-{key}")).and_then(ResourceKey::new),
            created_at: at(self.now),
            recurrence: is_generator.then(|| Recurrence::new("FREQ=DAILY").expect("a rule")),
            occurrence,
        };
        let delay = [0, 0, 5, 20][self.rng.usize(..4)];
        Task::new(spec, at(self.now + delay))
    }

    async fn create(&mut self) {
        let tasks: Vec<_> = (0..self.rng.usize(1..6)).map(|_| self.task()).collect();
        let expected = self.memory.create(tasks.clone()).await.expect("memory");
        let mut got = self.sqlite.create(tasks).await.expect("sqlite");
        for insert in &mut got {
            if let crate::store::Insert::Existing(task) = insert {
                self.use_memory_token(task);
            }
        }
        assert_eq!(expected, got);
    }

    async fn claim(&mut self) {
        let mut kinds = KINDS.map(str::to_owned).to_vec();
        self.rng.shuffle(&mut kinds);
        let split = self.rng.usize(1..=kinds.len());
        let rest = kinds.split_off(split);
        let demand = |kinds, rng: &mut Rng| Demand {
            kinds,
            max_claims: rng.usize(0..5),
            max_group: rng.usize(1..4),
            lease: TimeDelta::seconds(rng.i64(1..15)),
            generators_only: rng.u8(0..4) == 0,
        };
        let request = ClaimRequest {
            owner: "worker".into(),
            now: at(self.now),
            demands: vec![demand(kinds, &mut self.rng), demand(rest, &mut self.rng)],
        };
        let expected = self.memory.claim(request.clone()).await.expect("memory");
        let mut got = self.sqlite.claim(request).await.expect("sqlite");
        self.learn_tokens(&expected, &got);
        let tasks = got.claims.iter_mut().flat_map(|claim| &mut claim.tasks);
        tasks.for_each(|claimed| self.use_memory_token(&mut claimed.task));
        assert_eq!(format!("{expected:#?}"), format!("{got:#?}"));
    }

    fn learn_tokens(&mut self, memory: &ClaimResponse, sqlite: &ClaimResponse) {
        let tokens = |response: &ClaimResponse| -> Vec<(TaskId, LeaseToken)> {
            let tasks = response.claims.iter().flat_map(|claim| claim.tasks.clone());
            tasks
                .map(|claimed| {
                    (
                        claimed.task.id().clone(),
                        claimed.task.state.lease.expect("a lease").token,
                    )
                })
                .collect()
        };
        for ((id, memory), (_, sqlite)) in tokens(memory).into_iter().zip(tokens(sqlite)) {
            self.tokens.entry(id).or_default().push((memory, sqlite));
        }
    }

    /// Replaces the token of a lease by the memory store's, because tokens are random.
    fn use_memory_token(&self, task: &mut Task) {
        let known = self.tokens.get(task.id()).into_iter().flatten();
        if let Some(lease) = &mut task.state.lease
            && let Some((memory, _)) = known.clone().find(|(_, sqlite)| *sqlite == lease.token)
        {
            lease.token = *memory;
        }
    }

    /// Returns the id of a task, and both tokens of a claim of it, which may be lost.
    fn random_claim(&mut self) -> (TaskId, LeaseToken, LeaseToken) {
        let id = self.id();
        let tokens = self.tokens.get(&id).cloned().unwrap_or_default();
        let none = LeaseToken::from_bits(7);
        let claim = if self.rng.u8(0..5) == 0 {
            tokens.first()
        } else {
            tokens.last()
        };
        let (memory, sqlite) = claim.copied().unwrap_or((none, none));
        (id, memory, sqlite)
    }

    async fn renew(&mut self) {
        let (id, memory, sqlite) = self.random_claim();
        let renewal = |token| Renewal {
            id: id.clone(),
            token,
            until: Some(at(self.now + 10)),
            progress: Some(progress_at(self.now)),
        };
        let expected = self.memory.renew(vec![renewal(memory)], at(self.now)).await;
        let got = self.sqlite.renew(vec![renewal(sqlite)], at(self.now)).await;
        assert_eq!(expected.expect("memory"), got.expect("sqlite"));
    }

    fn verdict(&mut self) -> Verdict {
        let later = at(self.now + self.rng.i64(0..10));
        let error = "an error\nwith \"quotes\"".to_owned();
        match self.rng.u8(0..9) {
            0..3 => Verdict::Complete(Some(Json::of("done").expect("JSON"))),
            3 => Verdict::Complete(None),
            4 => Verdict::Retry { at: later, error },
            5 => Verdict::Fail { error },
            6 => Verdict::Snooze { at: later },
            7 => Verdict::Release,
            _ => Verdict::Defer { at: later },
        }
    }

    async fn finish(&mut self) {
        let (id, memory, sqlite) = self.random_claim();
        let verdict = self.verdict();
        let cleanup = self.rng.bool();
        let spawn: Vec<_> = (0..self.rng.usize(0..2)).map(|_| self.task()).collect();
        let progress = self.rng.bool().then(|| progress_at(self.now));
        let finish = |token| Finish {
            id: id.clone(),
            token,
            verdict: verdict.clone(),
            cleanup,
            spawn: spawn.clone(),
            progress: progress.clone(),
        };
        let expected = self.memory.finish(vec![finish(memory)], at(self.now)).await;
        let got = self.sqlite.finish(vec![finish(sqlite)], at(self.now)).await;
        assert_eq!(expected.expect("memory"), got.expect("sqlite"));
    }

    async fn change(&mut self) {
        let ids: Vec<_> = (0..self.rng.usize(1..4)).map(|_| self.id()).collect();
        let action = match self.rng.u8(0..4) {
            0 | 1 => Action::Cancel,
            2 => Action::Reset,
            _ => Action::Delete,
        };
        let expected = self
            .memory
            .change(ids.clone(), action.clone(), at(self.now))
            .await;
        let got = self.sqlite.change(ids, action, at(self.now)).await;
        assert_eq!(expected.expect("memory"), got.expect("sqlite"));
    }

    async fn compare(&mut self, context: &str) {
        let ids: Vec<_> = (0..IDS).map(|n| TaskId::new(format!("task-{n}"))).collect();
        let expected = self.memory.get(ids.clone()).await.expect("memory");
        let mut got = self.sqlite.get(ids).await.expect("sqlite");
        got.iter_mut()
            .flatten()
            .for_each(|task| self.use_memory_token(task));
        assert_eq!(expected, got, "{context}");
        assert_eq!(
            self.memory.kinds().await.expect("memory"),
            self.sqlite.kinds().await.expect("sqlite")
        );
        for filter in self.filters() {
            self.compare_lists(&filter, context).await;
        }
    }

    fn filters(&self) -> Vec<Filter> {
        let all = Filter::new();
        let mut filters = vec![
            all.clone(),
            all.clone().kind("Mail"),
            all.clone().kind("Nothing"),
            all.clone().resource_key("key-1"),
            all.clone().resource_key("key-1").kind("Sync"),
            all.clone().resource_key("key-1").kind("Nothing"),
            all.clone().generator("generator"),
            all.clone()
                .generator("generator")
                .resource_key("key-2")
                .status(Status::Completed),
            all.clone()
                .created(Some(at(self.now / 4)), Some(at(self.now / 2))),
            all.clone().done(Some(at(self.now / 2)), None),
            all.clone().done(None, Some(at(self.now / 2))).kind("Sync"),
        ];
        filters.extend(Status::ALL.map(|status| all.clone().status(status)));
        filters.extend(Status::ALL.map(|status| all.clone().status(status).kind("Report")));
        let newest = filters.clone().into_iter().map(Filter::newest_first);
        filters.into_iter().chain(newest).collect()
    }

    async fn compare_lists(&mut self, filter: &Filter, context: &str) {
        let now = at(self.now);
        let context = format!("{filter:?}, {context}");
        let expected = self.memory.count(filter.clone(), now).await.expect("memory");
        assert_eq!(
            expected,
            self.sqlite.count(filter.clone(), now).await.expect("sqlite"),
            "{context}"
        );
        let limit = self.rng.usize(1..8);
        let mut query = Query {
            filter: filter.clone(),
            after: None,
            limit,
            now,
        };
        loop {
            let expected = self.memory.query(query.clone()).await.expect("memory");
            let mut got = self.sqlite.query(query.clone()).await.expect("sqlite");
            got.tasks.iter_mut().for_each(|task| self.use_memory_token(task));
            assert_eq!(expected, got, "{context}");
            match got.next {
                None => return,
                after => query.after = after,
            }
        }
    }
}

fn progress_at(now: i64) -> Progress {
    Progress {
        fraction: 0.25,
        message: "a \"quarter\"".to_owned(),
        at: at(now),
    }
}

#[tokio::test]
async fn every_field_of_a_task_is_stored() {
    let (_directory, store) = store().await;
    let mut task = super::task("all", "Mail", Some("key"));
    task.spec.recurrence = serde_json::from_value(serde_json::json!({ "rule": "FREQ=DAILY" })).ok();
    task.state.errors = vec![AttemptError {
        at: at(1),
        attempt: 3,
        cleanup: true,
        error: "line\nbreak \u{0} \"quotes\" ü".to_owned(),
    }];
    task.state.deferrals = 2;
    task.state.cancelled_at = Some(at(4));
    task.state.result = Some(Json::of(&[1]).expect("JSON"));
    task.state.progress = Some(Progress {
        fraction: 1.0 / 3.0,
        message: String::new(),
        at: at(3),
    });
    super::create(&store, [task.clone()]).await;
    let ids = vec![task.id().clone()];
    assert_eq!(store.get(ids).await.expect("the task is read"), [Some(task)]);
    let filter = Filter {
        order: Order::NewestFirst,
        ..Filter::new()
    };
    assert_eq!(
        store.count(filter, at(9)).await.expect("the tasks are counted"),
        1
    );
}
