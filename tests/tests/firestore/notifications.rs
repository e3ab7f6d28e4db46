//! Notifications of changes that other processes make. Each store has a connection of its own, as another process has.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use oncetask::store::{Action, ClaimRequest, Demand, FirestoreStore, Store as _, Topic};
use oncetask::{Client, TaskId};
use tests::harness::claims::{LEASE, claim, complete, request, task, tasks};
use tests::harness::firestore::{Project, notified};
use tests::harness::wait::{TIMEOUT, until_async};

crate::tests! {
    a_task_of_another_process_notifies,
    a_task_from_the_listener_is_claimed_without_reading_the_queue,
    a_subscription_may_have_more_kinds_than_a_query,
    a_cancellation_notifies_the_worker,
    the_listener_reveals_the_next_due_time,
    the_store_does_not_listen_during_a_backlog,
    without_a_listener_a_poll_finds_new_tasks,
    without_a_listener_a_wait_ends,
    without_a_listener_a_second_end_notifies,
    more_waits_than_streams_of_a_connection_end,
}

/// A poll interval so long that only the listener notifies.
const NEVER: Duration = Duration::from_hours(24);

async fn listener(project: &Project) -> FirestoreStore {
    let store = project.options().poll_every(NEVER).open("DEFAULT").await;
    store.expect("the emulator answers")
}

async fn a_task_of_another_process_notifies() {
    let project = Project::new();
    let (worker, creator) = (listener(&project).await, project.connect().await);
    let mut subscription = worker.subscribe(Topic::Kinds(vec!["K".into()]));
    until_async("the store listens", async || worker.is_listening()).await;
    for n in 0..20 {
        let id = format!("{n}");
        creator
            .create(vec![task(&id, "K")])
            .await
            .expect("the store answers");
        let mut claimed = Vec::new();
        while claimed.is_empty() {
            notified(&mut subscription).await;
            claimed = claim(&worker, "K", 1).await;
        }
        assert_eq!(claimed[0].task.id().as_str(), id);
        worker
            .finish(vec![complete(&claimed[0])], Utc::now())
            .await
            .expect("the store answers");
    }
}

async fn a_task_from_the_listener_is_claimed_without_reading_the_queue() {
    let project = Project::new();
    let (worker, creator) = (listener(&project).await, project.connect().await);
    let mut subscription = worker.subscribe(Topic::Kinds(vec!["K".into()]));
    assert!(claim(&worker, "K", 2).await.is_empty());
    until_async("the store listens", async || worker.is_listening()).await;
    // The number of requests of each claim; 0 for a claim without a task.
    let mut costs = Vec::new();
    for n in 0..10 {
        creator
            .create(vec![task(&format!("{n}"), "K")])
            .await
            .expect("the store answers");
        let mut claimed = Vec::new();
        while claimed.is_empty() {
            notified(&mut subscription).await;
            let before = worker.usage().rpcs;
            claimed = claim(&worker, "K", 2).await;
            let requests = worker.usage().rpcs - before;
            costs.push(if claimed.is_empty() { 0 } else { requests });
        }
        worker
            .finish(claimed.iter().map(complete).collect(), Utc::now())
            .await
            .expect("the store answers");
    }
    assert!(costs.contains(&1), "no claim took one request: {costs:?}");
    assert!(
        costs.windows(2).all(|pair| pair != [1, 1]),
        "the queue is not read between two such claims: {costs:?}"
    );
}

async fn a_subscription_may_have_more_kinds_than_a_query() {
    let project = Project::new();
    let (worker, creator) = (listener(&project).await, project.connect().await);
    let kinds: Vec<_> = (0..65).map(|n| format!("K{n:02}")).collect();
    let mut subscription = worker.subscribe(Topic::Kinds(kinds.clone()));
    let request_all = || {
        let demands = kinds.iter().map(|kind| Demand::new([kind], LEASE));
        ClaimRequest::new("test", Utc::now(), demands.collect())
    };
    for kind in ["K00", "K31", "K64"] {
        creator
            .create(vec![task(kind, kind)])
            .await
            .expect("the store answers");
        let mut claims = Vec::new();
        while claims.is_empty() {
            notified(&mut subscription).await;
            claims = worker
                .claim(request_all())
                .await
                .expect("the store answers")
                .claims;
        }
        assert_eq!(claims[0].tasks[0].task.kind(), kind);
        worker
            .finish(vec![complete(&claims[0].tasks[0])], Utc::now())
            .await
            .expect("the store answers");
    }
}

async fn a_cancellation_notifies_the_worker() {
    let project = Project::new();
    let (worker, other) = (listener(&project).await, project.connect().await);
    worker
        .create(vec![task("a", "K")])
        .await
        .expect("the store answers");
    let mut subscription = worker.subscribe(Topic::Kinds(vec!["K".into()]));
    let claimed = claim(&worker, "K", 1).await;
    assert_eq!(claimed.len(), 1);
    other
        .change(vec!["a".into()], Action::Cancel, Utc::now())
        .await
        .expect("the store answers");
    loop {
        let stopped = notified(&mut subscription).await.stopped;
        if !stopped.is_empty() {
            assert_eq!(stopped, [TaskId::new("a")]);
            return;
        }
    }
}

async fn the_listener_reveals_the_next_due_time() {
    let project = Project::new();
    let (worker, other) = (listener(&project).await, project.connect().await);
    let mut subscription = worker.subscribe(Topic::Kinds(vec!["K".into()]));
    until_async("the store listens", async || worker.is_listening()).await;
    let mut later = task("later", "K");
    later.state.wait_until = oncetask::task::whole_millis(Utc::now() + TimeDelta::hours(1));
    let due = later.state.wait_until;
    other.create(vec![later]).await.expect("the store answers");
    notified(&mut subscription).await;
    until_async("the worker knows the due time", async || {
        let response = worker.claim(request("K", 1)).await.expect("the store answers");
        assert!(response.claims.is_empty());
        response.next_due == [Some(due)]
    })
    .await;
}

async fn the_store_does_not_listen_during_a_backlog() {
    let worker = listener(&Project::new()).await;
    worker.create(tasks(40, "K")).await.expect("the store answers");
    let _subscription = worker.subscribe(Topic::Kinds(vec!["K".into()]));
    until_async("the store detects the backlog", async || {
        let claimed = claim(&worker, "K", 1).await;
        let finishes = claimed.iter().map(complete).collect();
        worker
            .finish(finishes, Utc::now())
            .await
            .expect("the store answers");
        !worker.is_listening()
    })
    .await;
    let claimed = claim(&worker, "K", 40).await;
    worker
        .finish(claimed.iter().map(complete).collect(), Utc::now())
        .await
        .expect("the store answers");
    assert!(claim(&worker, "K", 1).await.is_empty());
    until_async("the store listens again", async || worker.is_listening()).await;
}

async fn without_a_listener_a_poll_finds_new_tasks() {
    let project = Project::new();
    let options = project
        .options()
        .listen(false)
        .poll_every(Duration::from_millis(50));
    let (worker, creator) = (
        options.open("DEFAULT").await.expect("the emulator answers"),
        project.connect().await,
    );
    let mut subscription = worker.subscribe(Topic::Kinds(vec!["K".into()]));
    creator
        .create(vec![task("a", "K")])
        .await
        .expect("the store answers");
    notified(&mut subscription).await;
    assert_eq!(claim(&worker, "K", 1).await.len(), 1);
    assert!(!worker.is_listening());
}

async fn without_listener(project: &Project) -> FirestoreStore {
    let options = project.options().listen(false);
    options.open("DEFAULT").await.expect("the emulator answers")
}

async fn without_a_listener_a_wait_ends() {
    let project = Project::new();
    let store = without_listener(&project).await;
    let worker = project.connect().await;
    worker
        .create(vec![task("a", "K")])
        .await
        .expect("the store answers");
    let waiting = tokio::spawn(async move { Client::new(store).wait("a").await });
    let claimed = claim(&worker, "K", 1).await;
    worker
        .finish(vec![complete(&claimed[0])], Utc::now())
        .await
        .expect("the store answers");
    let ended = tokio::time::timeout(TIMEOUT, waiting).await;
    let ended = ended.expect("in time").expect("no panic");
    assert!(ended.expect("the task completes").is_done());
}

async fn without_a_listener_a_second_end_notifies() {
    let project = Project::new();
    let store = without_listener(&project).await;
    let worker = project.connect().await;
    worker
        .create(vec![task("a", "K")])
        .await
        .expect("the store answers");
    let mut subscription = store.subscribe(Topic::Task("a".into()));
    for _ in 0..2 {
        let claimed = claim(&worker, "K", 1).await;
        let finished = worker.finish(vec![complete(&claimed[0])], Utc::now()).await;
        assert_eq!(finished.expect("the store answers"), [Ok(())]);
        notified(&mut subscription).await;
        let reset = Client::new(worker.clone()).reset("a").await;
        reset.expect("the store answers");
    }
}

async fn more_waits_than_streams_of_a_connection_end() {
    const WAITS: usize = 120;
    let project = Project::new();
    let (worker, other) = (project.connect().await, project.connect().await);
    worker.create(tasks(WAITS, "K")).await.expect("the store answers");
    let client = Client::new(other);
    let mut waits = tokio::task::JoinSet::new();
    for task in tasks(WAITS, "K") {
        let client = client.clone();
        waits.spawn(async move { client.wait(task.id()).await });
    }
    let claimed = claim(&worker, "K", WAITS).await;
    worker
        .finish(claimed.iter().map(complete).collect(), Utc::now())
        .await
        .expect("the store answers");
    let all = tokio::time::timeout(TIMEOUT, waits.join_all()).await;
    for ended in all.expect("in time") {
        assert!(ended.expect("the task completes").is_done());
    }
}
