//! What tasks cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use oncetask::store::{FirestoreStore, Store as _, Topic};
use tests::wait;
use tokio::task::JoinSet;

use crate::world::{Project, claim, complete, keyed, request, rung, task, tasks, until};

crate::tests! {
    a_plain_task_costs_one_read_and_three_writes,
    a_backlog_takes_few_requests,
    a_backlog_is_read_ahead,
    a_key_is_handed_on,
    a_key_that_is_not_fetched_is_given_back,
    several_workers_share_a_backlog,
    an_idle_look_is_cheap_while_somebody_listens,
    a_poll_of_an_empty_queue_costs_one_read,
    a_poll_finds_what_is_due_and_whose_lease_has_ended,
}

async fn a_plain_task_costs_one_read_and_three_writes() {
    let store = Project::new().connect().await;
    let before = store.usage();
    store.create(tasks(100, "K")).await.expect("created");
    let held = claim(&store, "K", 99).await;
    assert_eq!(held.len(), 99);
    let finishes = held.iter().map(complete).collect();
    store.finish(finishes, Utc::now()).await.expect("finished");
    let after = store.usage();
    assert_eq!(after.writes - before.writes, 100 + 2 * 99);
    assert_eq!(
        after.reads - before.reads,
        100,
        "each once, and one of them not claimed yet"
    );
    assert_eq!((after.conflicts, after.deletes), (0, 0));
}

/// Works off a backlog of this many tasks with whoever else does, as a runtime does: free slots are filled, each
/// completion is reported by itself, and whoever gets nothing looks again when it is told to.
async fn drain(store: Arc<FirestoreStore>, slots: usize, tasks: usize, done: Arc<AtomicUsize>) {
    let mut running = JoinSet::new();
    while done.load(Ordering::SeqCst) < tasks {
        // No later, as all may be done then.
        let mut look_again = Utc::now() + TimeDelta::milliseconds(100);
        let room = slots - running.len();
        if room > 0 {
            let claimed = store.claim(request("K", room)).await.expect("answered");
            look_again = look_again.min(claimed.next_due[0].unwrap_or(look_again));
            for held in claimed.claims.into_iter().flat_map(|claim| claim.tasks) {
                let store = store.clone();
                running.spawn(async move { store.finish(vec![complete(&held)], Utc::now()).await });
            }
        }
        if running.is_empty() {
            let pause = (look_again - Utc::now()).to_std().unwrap_or_default();
            tokio::time::sleep(pause).await;
        }
        let mut finished = running.join_next().await;
        while let Some(answer) = finished {
            assert_eq!(answer.expect("no panic").expect("answered"), [Ok(())]);
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
    store.create(tasks(1000, "K")).await.expect("created");
    let (before, began) = (store.usage(), Instant::now());
    drain_alone(store.clone(), 64, 1000).await;
    let after = store.usage();
    let rpcs = after.rpcs - before.rpcs;
    assert!(rpcs * 5 <= TASKS, "{rpcs} requests for {TASKS} tasks");
    assert_eq!(after.writes - before.writes, 2 * TASKS);
    let reads = after.reads - before.reads;
    // What was read is of no use after three seconds, and read again: up to 1,024 tasks each time.
    let again = began.elapsed().as_secs() / 3 * 1024;
    assert!(
        reads * 10 <= TASKS * 11 + again * 10,
        "{reads} reads for {TASKS} tasks"
    );
}

async fn a_backlog_is_read_ahead() {
    // The first query reads four for each that there is room for, and one claim's worth is left of them. On a machine
    // that stands still between two claims nothing is known to be in haste: then it is tried again.
    until("more is read before that is used up", async || {
        let store = Project::new().connect().await;
        store.create(tasks(600, "K")).await.expect("created");
        let before = store.usage().reads;
        for _ in 0..3 {
            assert_eq!(claim(&store, "K", 64).await.len(), 64);
        }
        let (look, patience) = (Duration::from_millis(10), Duration::from_secs(1));
        let is_read = async || (store.usage().reads - before > 260).then_some(());
        wait::until(look, patience, is_read).await.is_some()
    })
    .await;
}

async fn a_key_is_handed_on() {
    let store = Project::new().connect().await;
    store
        .create((0..60).map(|n| keyed(&format!("{n:02}"), "K", "k")).collect())
        .await
        .expect("created");
    let subscription = store.subscribe(Topic::Kinds(vec!["K".into()]));
    let before = store.usage();
    drain_alone(Arc::new(store.clone()), 1, 60).await;
    drop(subscription);
    let after = store.usage();
    let rpcs = after.rpcs - before.rpcs;
    // Without it: a claim, a question and a completion for each, and the queue now and then.
    assert!(rpcs < 150, "{rpcs} requests for 60 tasks of one key");
    assert_eq!(after.writes - before.writes, 120, "no claim was given back");
}

async fn a_key_that_is_not_fetched_is_given_back() {
    let store = Project::new().connect().await;
    store
        .create((0..2).map(|n| keyed(&format!("{n}"), "K", "k")).collect())
        .await
        .expect("created");
    let subscription = store.subscribe(Topic::Kinds(vec!["K".into()]));
    let held = claim(&store, "K", 1).await;
    store
        .finish(vec![complete(&held[0])], Utc::now())
        .await
        .expect("finished");
    drop(subscription);
    // The worker is gone: another one gets the task as if it had never been claimed.
    let other = store.in_env("DEFAULT");
    until("the next task is free", async || {
        let held = claim(&other, "K", 1).await;
        held.first().is_some_and(|held| {
            assert_eq!((held.task.attempts(), held.task.errors().len()), (1, 0));
            true
        })
    })
    .await;
}

async fn several_workers_share_a_backlog() {
    let project = Project::new();
    let creator = project.connect().await;
    creator.create(tasks(600, "K")).await.expect("created");
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
    let open = oncetask::Filter::new()
        .kind("K")
        .status(oncetask::Status::Completed);
    assert_eq!(creator.count(open, Utc::now()).await.expect("counted"), 600);
}

async fn an_idle_look_is_cheap_while_somebody_listens() {
    let store = Project::new().connect().await;
    let _subscription = store.subscribe(Topic::Kinds(vec!["K".into()]));
    // The first look learns when the next lease ends.
    store.claim(request("K", 1)).await.expect("answered");
    until("it listens", async || store.is_listening()).await;
    store.claim(request("K", 1)).await.expect("answered");
    let before = store.usage();
    store.claim(request("K", 1)).await.expect("answered");
    assert_eq!(store.usage().reads - before.reads, 1, "one empty query");
    // Also when many handlers look.
    let mut many = request("K", 1);
    let demand = many.demands.remove(0);
    many.demands = (0..20)
        .map(|n| oncetask::store::Demand {
            kinds: vec![format!("K{n}")],
            ..demand.clone()
        })
        .collect();
    let kinds = many
        .demands
        .iter()
        .flat_map(|demand| demand.kinds.clone())
        .collect();
    let _subscription = store.subscribe(Topic::Kinds(kinds));
    let look = async || {
        let before = store.usage();
        store.claim(many.clone()).await.expect("answered");
        store.usage().reads - before.reads
    };
    until("an idle look of twenty handlers costs one read", async || {
        look().await == 1
    })
    .await;
    // And with that a task that is created here costs what it must.
    let before = store.usage();
    store.create(vec![task("a", "K")]).await.expect("created");
    let held = claim(&store, "K", 2).await.remove(0);
    store
        .finish(vec![complete(&held)], Utc::now())
        .await
        .expect("finished");
    assert_eq!(store.usage().writes - before.writes, 3);
}

/// A store that hears of others by polling only.
async fn polling(project: &Project) -> FirestoreStore {
    let options = project.options().listen(false);
    let options = options.poll_every(Duration::from_millis(50));
    options.open("DEFAULT").await.expect("it opens")
}

async fn a_poll_of_an_empty_queue_costs_one_read() {
    let project = Project::new();
    let store = polling(&project).await;
    // What waits for longer than the next poll is no reason to look more closely.
    let mut later = task("later", "K");
    later.state.wait_until = Utc::now() + TimeDelta::hours(1);
    store.create(vec![later]).await.expect("created");
    let before = store.usage();
    let mut subscription = store.subscribe(Topic::Kinds(vec!["K".into(), "L".into()]));
    until("it has polled for a while", async || {
        store.usage().rpcs - before.rpcs >= 10
    })
    .await;
    let after = store.usage();
    // The last may be on its way, and a busy emulator refuses one now and then, which is repeated and not billed.
    let (rpcs, reads) = (after.rpcs - before.rpcs, after.reads - before.reads);
    assert!(
        (rpcs / 2..=rpcs).contains(&reads),
        "{reads} reads in {rpcs} requests"
    );
    let woken = tokio::time::timeout(Duration::ZERO, subscription.notified()).await;
    assert!(woken.is_err(), "nobody is woken for nothing");
}

async fn a_poll_finds_what_is_due_and_whose_lease_has_ended() {
    let project = Project::new();
    let (store, other) = (polling(&project).await, project.connect().await);
    let mut subscription = store.subscribe(Topic::Kinds(vec!["K".into()]));
    other.create(vec![task("a", "K")]).await.expect("created");
    rung(&mut subscription).await;
    // A worker claims it and dies: its lease ends in a second, and nothing else happens.
    let mut short = request("K", 1);
    short.demands[0].lease = TimeDelta::seconds(1);
    assert_eq!(other.claim(short).await.expect("claimed").claims.len(), 1);
    while claim(&store, "K", 1).await.is_empty() {
        rung(&mut subscription).await;
    }
}
