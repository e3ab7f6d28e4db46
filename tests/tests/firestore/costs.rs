//! The number of requests, reads and writes that tasks cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use oncetask::store::{ClaimRequest, Demand, FirestoreStore, Store as _, Topic};
use tests::harness::claims::{LEASE, claim, complete, keyed_task, request, task, tasks};
use tests::harness::firestore::{Project, notified};
use tests::harness::wait::{poll, until_async};
use tokio::task::JoinSet;

crate::tests! {
    a_task_costs_one_read_and_three_writes,
    a_backlog_takes_few_requests,
    a_backlog_is_read_before_it_is_needed,
    a_key_is_handed_to_the_next_task,
    an_unused_key_handoff_is_released,
    several_workers_share_a_backlog,
    an_idle_claim_is_cheap_while_the_store_listens,
    a_poll_of_an_empty_queue_costs_one_read,
    a_poll_finds_due_tasks_and_expired_leases,
}

async fn a_task_costs_one_read_and_three_writes() {
    let store = Project::new().connect().await;
    let before = store.usage();
    store.create(tasks(100, "K")).await.expect("the store answers");
    let claimed = claim(&store, "K", 99).await;
    assert_eq!(claimed.len(), 99);
    let finishes = claimed.iter().map(complete).collect();
    store
        .finish(finishes, Utc::now())
        .await
        .expect("the store answers");
    let after = store.usage();
    assert_eq!(after.writes - before.writes, 100 + 2 * 99);
    assert_eq!(
        after.reads - before.reads,
        100,
        "one read for each task, including the one that is not claimed"
    );
    assert_eq!((after.conflicts, after.deletes), (0, 0));
}

/// Completes a backlog as a worker does, alone or with others, until all workers together have completed `tasks` tasks.
/// Fills the free slots, reports each completion by itself, and after an empty claim waits for the next due time.
async fn drain(store: Arc<FirestoreStore>, slots: usize, tasks: usize, done: Arc<AtomicUsize>) {
    let mut running = JoinSet::new();
    while done.load(Ordering::SeqCst) < tasks {
        // After at most 100 ms, because another worker may complete the last task.
        let mut next_claim = Utc::now() + TimeDelta::milliseconds(100);
        let free = slots - running.len();
        if free > 0 {
            let response = store.claim(request("K", free)).await.expect("the store answers");
            next_claim = next_claim.min(response.next_due[0].unwrap_or(next_claim));
            for claimed in response.claims.into_iter().flat_map(|claim| claim.tasks) {
                let store = store.clone();
                running.spawn(async move { store.finish(vec![complete(&claimed)], Utc::now()).await });
            }
        }
        if running.is_empty() {
            let pause = (next_claim - Utc::now()).to_std().unwrap_or_default();
            tokio::time::sleep(pause).await;
        }
        let mut finished = running.join_next().await;
        while let Some(answer) = finished {
            assert_eq!(answer.expect("no panic").expect("the store answers"), [Ok(())]);
            done.fetch_add(1, Ordering::SeqCst);
            finished = running.try_join_next();
        }
    }
}

async fn drain_alone(store: Arc<FirestoreStore>, slots: usize, tasks: usize) {
    let done = Arc::new(AtomicUsize::new(0));
    drain(store, slots, tasks, done.clone()).await;
    assert_eq!(
        done.load(Ordering::SeqCst),
        tasks,
        "each completion was accepted once"
    );
}

async fn a_backlog_takes_few_requests() {
    const TASKS: u64 = 1000;
    let store = Arc::new(Project::new().connect().await);
    store.create(tasks(1000, "K")).await.expect("the store answers");
    let (before, began) = (store.usage(), Instant::now());
    drain_alone(store.clone(), 64, 1000).await;
    let after = store.usage();
    let rpcs = after.rpcs - before.rpcs;
    assert!(rpcs * 5 <= TASKS, "{rpcs} requests for {TASKS} tasks");
    assert_eq!(after.writes - before.writes, 2 * TASKS);
    let reads = after.reads - before.reads;
    // A window expires after three seconds. Then up to 1,024 tasks are read again.
    let reread = began.elapsed().as_secs() / 3 * 1024;
    assert!(
        reads * 10 <= TASKS * 11 + reread * 10,
        "{reads} reads for {TASKS} tasks"
    );
}

async fn a_backlog_is_read_before_it_is_needed() {
    // The first query reads four times the requested tasks, so after three claims the tasks of one claim are left. If
    // the machine stalls between two claims, the store has no reason to read ahead, and the attempt is repeated.
    until_async("the next tasks are read before the window is empty", async || {
        let store = Project::new().connect().await;
        store.create(tasks(600, "K")).await.expect("the store answers");
        let before = store.usage().reads;
        for _ in 0..3 {
            assert_eq!(claim(&store, "K", 64).await.len(), 64);
        }
        let (interval, limit) = (Duration::from_millis(10), Duration::from_secs(1));
        let is_read = async || (store.usage().reads - before > 260).then_some(());
        poll(interval, limit, is_read).await.is_some()
    })
    .await;
}

async fn a_key_is_handed_to_the_next_task() {
    let store = Project::new().connect().await;
    store
        .create(
            (0..60)
                .map(|n| keyed_task(&format!("{n:02}"), "K", "k"))
                .collect(),
        )
        .await
        .expect("the store answers");
    let subscription = store.subscribe(Topic::Kinds(vec!["K".into()]));
    let before = store.usage();
    drain_alone(Arc::new(store.clone()), 1, 60).await;
    drop(subscription);
    let after = store.usage();
    let rpcs = after.rpcs - before.rpcs;
    // Without the handoff each task takes a claim, its verification and a completion, and the queue is read as well.
    assert!(rpcs < 150, "{rpcs} requests for 60 tasks of one key");
    assert_eq!(after.writes - before.writes, 120, "a claim was released");
}

async fn an_unused_key_handoff_is_released() {
    let store = Project::new().connect().await;
    store
        .create((0..2).map(|n| keyed_task(&format!("{n}"), "K", "k")).collect())
        .await
        .expect("the store answers");
    let subscription = store.subscribe(Topic::Kinds(vec!["K".into()]));
    let claimed = claim(&store, "K", 1).await;
    store
        .finish(vec![complete(&claimed[0])], Utc::now())
        .await
        .expect("the store answers");
    drop(subscription);
    // Without a subscriber no worker takes the handoff. Another worker gets the task as if it had never been claimed.
    let other = store.in_env("DEFAULT");
    until_async("the next task is free", async || {
        let claimed = claim(&other, "K", 1).await;
        claimed.first().is_some_and(|claimed| {
            assert_eq!((claimed.task.attempts(), claimed.task.errors().len()), (1, 0));
            true
        })
    })
    .await;
}

async fn several_workers_share_a_backlog() {
    let project = Project::new();
    let creator = project.connect().await;
    creator.create(tasks(600, "K")).await.expect("the store answers");
    let done = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..4 {
        let store = Arc::new(project.connect().await);
        workers.spawn(drain(store, 16, 600, done.clone()));
    }
    workers.join_all().await;
    assert_eq!(
        done.load(Ordering::SeqCst),
        600,
        "each completion was accepted once"
    );
    let completed = oncetask::Filter::new()
        .kind("K")
        .status(oncetask::Status::Completed);
    let completed = creator.count(completed, Utc::now()).await;
    assert_eq!(completed.expect("the store answers"), 600);
}

async fn an_idle_claim_is_cheap_while_the_store_listens() {
    let store = Project::new().connect().await;
    let _subscription = store.subscribe(Topic::Kinds(vec!["K".into()]));
    // The first claim reads the end of the next lease.
    store.claim(request("K", 1)).await.expect("the store answers");
    until_async("the store listens", async || store.is_listening()).await;
    store.claim(request("K", 1)).await.expect("the store answers");
    let before = store.usage();
    store.claim(request("K", 1)).await.expect("the store answers");
    assert_eq!(store.usage().reads - before.reads, 1, "one empty query");
    // The cost does not grow with the number of handlers.
    let demands = (0..20).map(|n| Demand::new([format!("K{n}")], LEASE));
    let many = ClaimRequest::new("test", Utc::now(), demands.collect());
    let kinds = many
        .demands
        .iter()
        .flat_map(|demand| demand.kinds.clone())
        .collect();
    let _subscription = store.subscribe(Topic::Kinds(kinds));
    let idle_claim = async || {
        let before = store.usage();
        store.claim(many.clone()).await.expect("the store answers");
        store.usage().reads - before.reads
    };
    until_async("an idle claim of twenty handlers costs one read", async || {
        idle_claim().await == 1
    })
    .await;
    // A new task still costs three writes.
    let before = store.usage();
    store
        .create(vec![task("a", "K")])
        .await
        .expect("the store answers");
    let claimed = claim(&store, "K", 2).await.remove(0);
    store
        .finish(vec![complete(&claimed)], Utc::now())
        .await
        .expect("the store answers");
    assert_eq!(store.usage().writes - before.writes, 3);
}

/// Opens a store that learns of other processes by polling only.
async fn polling(project: &Project) -> FirestoreStore {
    let options = project.options().listen(false);
    let options = options.poll_every(Duration::from_millis(50));
    options.open("DEFAULT").await.expect("the emulator answers")
}

async fn a_poll_of_an_empty_queue_costs_one_read() {
    let project = Project::new();
    let store = polling(&project).await;
    // A task that becomes due after the next poll causes no further reads.
    let mut later = task("later", "K");
    later.state.wait_until = Utc::now() + TimeDelta::hours(1);
    store.create(vec![later]).await.expect("the store answers");
    let before = store.usage();
    let mut subscription = store.subscribe(Topic::Kinds(vec!["K".into(), "L".into()]));
    until_async("the store has polled several times", async || {
        store.usage().rpcs - before.rpcs >= 10
    })
    .await;
    let after = store.usage();
    // The last poll may be in flight. A busy emulator refuses some requests, which are repeated and not billed.
    let (rpcs, reads) = (after.rpcs - before.rpcs, after.reads - before.reads);
    assert!(
        (rpcs / 2..=rpcs).contains(&reads),
        "{reads} reads in {rpcs} requests"
    );
    let wakeup = tokio::time::timeout(Duration::ZERO, subscription.notified()).await;
    assert!(wakeup.is_err(), "a wake-up without a due task");
}

async fn a_poll_finds_due_tasks_and_expired_leases() {
    let project = Project::new();
    let (store, other) = (polling(&project).await, project.connect().await);
    let mut subscription = store.subscribe(Topic::Kinds(vec!["K".into()]));
    other
        .create(vec![task("a", "K")])
        .await
        .expect("the store answers");
    notified(&mut subscription).await;
    // A worker claims the task and crashes. Only the end of the lease, a second later, makes it due again.
    let mut short = request("K", 1);
    short.demands[0].lease = TimeDelta::seconds(1);
    assert_eq!(
        other.claim(short).await.expect("the store answers").claims.len(),
        1
    );
    while claim(&store, "K", 1).await.is_empty() {
        notified(&mut subscription).await;
    }
}
