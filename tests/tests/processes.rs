//! Worker processes on one SQLite file: killed, shut down, frozen, and several at once.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use oncetask::store::StoreUrl;
use oncetask::{Client, Filter, OnceTask, Status, TaskId};
use tests::harness::wait::poll;
use tests::journal::{Entry, Journal, Keyed, Quick, Stubborn, Ticking};
use tests::process::Process;

/// The longest wait of a test. Only a failing test waits that long.
const LIMIT: Duration = Duration::from_mins(2);
/// The interval at which conditions are polled.
const INTERVAL: Duration = Duration::from_millis(10);
/// The heartbeat of the workers, in milliseconds.
const HEARTBEAT_MS: u64 = 1000;

/// A store, the workers on it, and the journal that their handlers write.
struct Fleet {
    folder: tempfile::TempDir,
    client: Client,
    journal: Journal,
}

impl Fleet {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("tasks.db");
        let client = Client::open_in(StoreUrl::Sqlite(file), "TEST")
            .await
            .expect("the store opens");
        let journal = Journal::new(folder.path().join("journal"));
        Self {
            folder,
            client,
            journal,
        }
    }

    fn start(&self, name: &str, grace: Duration) -> Process {
        self.start_with(name, grace, HEARTBEAT_MS)
    }

    fn start_with(&self, name: &str, grace: Duration, heartbeat: u64) -> Process {
        let path = |name: &str| self.folder.path().join(name);
        let log = path(name);
        let mut worker = Command::new(env!("CARGO_BIN_EXE_worker"));
        worker
            .args([path("tasks.db"), path("journal")])
            .args([heartbeat.to_string(), grace.as_millis().to_string()]);
        Process::start(&mut worker, log).expect("the worker starts")
    }

    async fn create<T: OnceTask>(&self, task: T) -> TaskId {
        let enqueued = self.client.create(task).await.expect("the task can be stored");
        enqueued.task.spec.id
    }

    /// Waits for an entry of the journal, and returns it. `description` is for the panic message.
    async fn entry(&self, description: &str, matches: impl Fn(&Entry) -> bool) -> Entry {
        until(description, async || {
            self.journal.read().into_iter().find(|entry| matches(entry))
        })
        .await
    }

    async fn done(&self, id: &TaskId) -> oncetask::Task {
        let done = tokio::time::timeout(LIMIT, self.client.wait(id)).await;
        done.expect("the task ends in time").expect("the task completes")
    }

    /// Returns the number of entries of this event.
    fn events(&self, event: &str) -> usize {
        self.journal
            .read()
            .iter()
            .filter(|entry| entry.event == event)
            .count()
    }
}

/// Waits for the process to exit.
async fn ended(worker: &mut Process) -> ExitStatus {
    until("the worker exits", async || worker.ended()).await
}

/// Polls until there is a value. `description` completes the message "timed out: …".
async fn until<T>(description: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    let value = poll(INTERVAL, LIMIT, probe).await;
    value.unwrap_or_else(|| panic!("timed out: {description}"))
}

#[tokio::test]
async fn after_sigkill_another_worker_takes_over() {
    let fleet = Fleet::new().await;
    let mut first = fleet.start("first", LIMIT);
    let id = fleet.create(Ticking { number: 1 }).await;
    fleet
        .entry("the first attempt begins", |entry| entry.event == "begin")
        .await;
    let second = fleet.start("second", LIMIT);
    first.signal("KILL");
    ended(&mut first).await;

    let task = fleet.done(&id).await;

    assert_eq!(task.attempts(), 2);
    assert_eq!(fleet.events("begin"), 2, "{:?}", fleet.journal.read());
    assert_eq!(fleet.events("end"), 1, "{:?}", fleet.journal.read());
    let end = fleet.entry("the end", |entry| entry.event == "end").await;
    // The handler may run for ten minutes, but its stored lease was only a heartbeat long.
    assert_eq!((end.process, end.attempt), (second.id(), 2));
    let [error] = task.errors() else {
        panic!("one error for the lost attempt: {:?}", task.errors())
    };
    assert!(error.error.contains("lease expired"), "{}", error.error);
}

#[tokio::test]
async fn sigterm_releases_the_claim_and_the_attempt_does_not_count() {
    let fleet = Fleet::new().await;
    let mut first = fleet.start("first", Duration::from_millis(200));
    let id = fleet.create(Ticking { number: 1 }).await;
    fleet
        .entry("the attempt begins", |entry| entry.event == "begin")
        .await;
    first.signal("TERM");

    let status = ended(&mut first).await;

    assert!(status.success(), "{status}: {}", first.log());
    let task = fleet
        .client
        .get(&id)
        .await
        .expect("the store answers")
        .expect("the task exists");
    assert_eq!(task.status(Utc::now()), Status::Pending, "{task:?}");
    assert_eq!((task.attempts(), task.errors()), (0, &[][..]));
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let fleet = Fleet::new().await;
    let mut worker = fleet.start("worker", LIMIT * 10);
    fleet.create(Ticking { number: 1 }).await;
    fleet
        .entry("the attempt begins", |entry| entry.event == "begin")
        .await;
    worker.signal("TERM");
    until("the worker drains", async || {
        worker.log().contains("no more claims").then_some(())
    })
    .await;
    worker.signal("INT");
    // The grace period is longer than the limit of this test.
    ended(&mut worker).await;
}

#[tokio::test]
async fn a_frozen_worker_stops_its_handler_when_it_resumes() {
    let fleet = Fleet::new().await;
    let mut frozen = fleet.start("frozen", LIMIT);
    let id = fleet.create(Ticking { number: 1 }).await;
    fleet
        .entry("the handler ticks", |entry| entry.event == "tick")
        .await;
    frozen.signal("STOP");
    let second = fleet.start("second", LIMIT);
    let task = fleet.done(&id).await;
    let ticks = fleet.events("tick");

    frozen.signal("CONT");
    until("the handler is stopped", async || {
        frozen.log().contains("the handler was stopped").then_some(())
    })
    .await;
    frozen.signal("TERM");
    ended(&mut frozen).await;

    assert_eq!(
        fleet.events("tick"),
        ticks,
        "the handler ran after its lease had expired"
    );
    assert_eq!(task.attempts(), 2);
    assert_eq!(
        fleet
            .client
            .get(&id)
            .await
            .expect("the store answers")
            .expect("the task exists"),
        task,
        "the frozen worker changed the task"
    );
    let end = fleet.entry("the end", |entry| entry.event == "end").await;
    assert_eq!(end.process, second.id());
}

#[tokio::test]
async fn a_completion_after_a_freeze_is_refused() {
    let fleet = Fleet::new().await;
    let go = fleet.folder.path().join("go");
    let mut frozen = fleet.start("frozen", LIMIT);
    let id = fleet
        .create(Stubborn {
            number: 1,
            until: go.clone(),
        })
        .await;
    fleet
        .entry("the first attempt begins", |entry| entry.event == "begin")
        .await;
    frozen.signal("STOP");
    let _second = fleet.start("second", LIMIT);
    let task = fleet.done(&id).await;
    assert_eq!(task.result::<u32>().expect("a number"), Some(2));

    File::create(&go).expect("the file can be created");
    frozen.signal("CONT");
    until("the frozen worker's handler returns", async || {
        (fleet.events("end") == 2).then_some(())
    })
    .await;
    frozen.signal("TERM");
    ended(&mut frozen).await;

    let log = frozen.log();
    assert!(
        log.contains("was refused") || log.contains("its outcome is dropped"),
        "{log}"
    );
    assert_eq!(
        fleet
            .client
            .get(&id)
            .await
            .expect("the store answers")
            .expect("the task exists"),
        task,
        "the frozen worker changed the task"
    );
}

#[tokio::test]
async fn two_workers_on_one_file_run_each_task_once_and_no_two_of_a_key_at_a_time() {
    const TASKS: u32 = 5000;
    const KEYS: u32 = 20;
    let fleet = Fleet::new().await;
    let tasks = (0..TASKS).map(|number| Keyed {
        number,
        key: number % KEYS,
    });
    for created in fleet.client.create_many(tasks).await.expect("the store answers") {
        created.expect("the task can be stored");
    }
    let workers = [fleet.start("first", LIMIT), fleet.start("second", LIMIT)];
    let completed = Filter::new().kind(Keyed::KIND).status(Status::Completed);
    let all_done = poll(INTERVAL, LIMIT, async || {
        let done = fleet
            .client
            .count(completed.clone())
            .await
            .expect("the store answers");
        (done >= u64::from(TASKS)).then_some(())
    });
    assert!(
        all_done.await.is_some(),
        "not all tasks are done in time: {}",
        workers[0].log()
    );

    let mut entries = fleet.journal.read();
    entries.sort_by_key(|entry| entry.nanos);
    let mut begun: HashMap<&TaskId, u32> = HashMap::new();
    let mut running: HashMap<&str, &TaskId> = HashMap::new();
    for entry in &entries {
        let key = entry
            .id
            .as_str()
            .rsplit(':')
            .next()
            .expect("an id ends with its key");
        if entry.event == "begin" {
            *begun.entry(&entry.id).or_default() += 1;
            assert_eq!(
                running.insert(key, &entry.id),
                None,
                "two tasks of key {key} overlap"
            );
        } else {
            assert_eq!(
                running.remove(key),
                Some(&entry.id),
                "an end without its beginning"
            );
        }
    }
    assert_eq!(begun.len(), TASKS as usize);
    assert!(begun.values().all(|times| *times == 1), "a task ran twice");
    for worker in &workers {
        assert!(
            entries.iter().any(|entry| entry.process == worker.id()),
            "a worker ran no task"
        );
    }
}

/// The number of tasks in each round of the test below.
const ROUND: u32 = 3000;
/// The number of attempts after which the worker is killed. By then it prefetches.
const BEGUN_AT_KILL: usize = 300;
/// The maximum lease of a prefetched task.
const MAX_PREFETCH_LEASE: TimeDelta = TimeDelta::seconds(3);
/// The lease of other tasks: of the running one, and of those that were claimed before the worker prefetched. It must
/// expire before the limit of the test.
const HEARTBEAT_OF_QUICK_MS: u64 = 20_000;

impl Fleet {
    /// Returns the number of quick tasks with this status.
    async fn quick(&self, status: Status) -> u64 {
        let ended = Filter::new().kind(Quick::KIND).status(status);
        self.client.count(ended).await.expect("the store answers")
    }

    /// Kills a worker with one slot while it runs many quick tasks. Returns the tasks that it had claimed but not
    /// begun.
    async fn kill_while_prefetching(&self, round: u32) -> Vec<oncetask::Task> {
        let tasks = (0..ROUND).map(|number| Quick { number, round });
        for created in self.client.create_many(tasks).await.expect("the store answers") {
            created.expect("the task can be stored");
        }
        let before = self.events("begin");
        let mut worker = self.start_with(&format!("killed-{round}"), LIMIT, HEARTBEAT_OF_QUICK_MS);
        until("many tasks have begun", async || {
            (self.events("begin") >= before + BEGUN_AT_KILL).then_some(())
        })
        .await;
        worker.signal("KILL");
        ended(&mut worker).await;
        let begun: HashSet<_> = self.journal.read().into_iter().map(|entry| entry.id).collect();
        let mut listed = self.client.list(Filter::new().kind(Quick::KIND));
        let mut prefetched = Vec::new();
        while let Some(task) = listed.next().await {
            let task = task.expect("the store answers");
            if task.state.lease.is_some() && !begun.contains(task.id()) {
                prefetched.push(task);
            }
        }
        prefetched
    }
}

#[tokio::test]
async fn tasks_prefetched_by_a_killed_worker_are_claimable_within_seconds() {
    let fleet = Fleet::new().await;
    let (mut rounds, mut prefetched) = (0, Vec::new());
    // One of the tasks may have been on its way to the slot. In some rounds no task is prefetched.
    while prefetched.len() < 2 {
        assert!(rounds < 20, "no task was prefetched in any round");
        prefetched = fleet.kill_while_prefetching(rounds).await;
        rounds += 1;
    }
    let killed = Utc::now();
    for task in &prefetched {
        let lease = task.state.lease.as_ref().expect("the task is leased");
        assert!(
            lease.until <= killed + MAX_PREFETCH_LEASE,
            "its worker was killed at {killed}: {task:?}"
        );
    }

    let _second = fleet.start_with("second", LIMIT, HEARTBEAT_OF_QUICK_MS);
    let all = u64::from(rounds * ROUND);
    until("all tasks are done", async || {
        (fleet.quick(Status::Completed).await >= all).then_some(())
    })
    .await;

    assert_eq!(fleet.quick(Status::Failed).await, 0);
    let entries = fleet.journal.read();
    let begun: HashSet<_> = entries.iter().map(|entry| &entry.id).collect();
    assert_eq!(begun.len() as u64, all, "every task has run");
    for task in &prefetched {
        let task = fleet.done(task.id()).await;
        assert_eq!(task.attempts(), 2, "{task:?}");
        assert!(task.errors()[0].error.contains("lease expired"), "{task:?}");
    }
}
