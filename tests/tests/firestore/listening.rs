//! Hearing of what other processes do. Each handle has a connection of its own, as another process has.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use oncetask::Client;
use oncetask::store::{Action, FirestoreStore, Store as _, Topic};

use crate::world::{Project, claim, complete, request, rung, task, tasks, until};

crate::tests! {
    a_task_of_another_process_rings,
    what_was_heard_is_claimed_without_reading_the_queue,
    more_kinds_than_one_query_holds,
    a_cancellation_reaches_the_handler,
    the_head_of_the_queue_tells_when_to_look,
    nobody_listens_while_a_backlog_is_worked_off,
    without_a_listener_a_poll_finds_it,
    without_a_listener_a_wait_ends,
    without_a_listener_a_second_end_rings,
    more_waits_than_a_connection_carries,
}

/// No poll helps: what rings is the listener.
const NEVER: Duration = Duration::from_hours(24);

async fn listener(project: &Project) -> FirestoreStore {
    let store = project.options().poll_every(NEVER).open("DEFAULT").await;
    store.expect("the emulator answers")
}

async fn a_task_of_another_process_rings() {
    let project = Project::new();
    let (worker, creator) = (listener(&project).await, project.connect().await);
    let mut subscription = worker.subscribe(Topic::Kinds(vec!["K".into()]));
    until("it listens", async || worker.is_listening()).await;
    for n in 0..20 {
        let id = format!("{n}");
        creator.create(vec![task(&id, "K")]).await.expect("created");
        let mut held = Vec::new();
        while held.is_empty() {
            rung(&mut subscription).await;
            held = claim(&worker, "K", 1).await;
        }
        assert_eq!(held[0].task.id().as_str(), id);
        worker
            .finish(vec![complete(&held[0])], Utc::now())
            .await
            .expect("finished");
    }
}

async fn what_was_heard_is_claimed_without_reading_the_queue() {
    let project = Project::new();
    let (worker, creator) = (listener(&project).await, project.connect().await);
    let mut subscription = worker.subscribe(Topic::Kinds(vec!["K".into()]));
    assert!(claim(&worker, "K", 2).await.is_empty());
    until("it listens", async || worker.is_listening()).await;
    // How many requests each claim took, and 0 for one that got nothing.
    let mut costs = Vec::new();
    for n in 0..10 {
        creator
            .create(vec![task(&format!("{n}"), "K")])
            .await
            .expect("created");
        let mut held = Vec::new();
        while held.is_empty() {
            rung(&mut subscription).await;
            let before = worker.usage().rpcs;
            held = claim(&worker, "K", 2).await;
            let requests = worker.usage().rpcs - before;
            costs.push(if held.is_empty() { 0 } else { requests });
        }
        worker
            .finish(held.iter().map(complete).collect(), Utc::now())
            .await
            .expect("finished");
    }
    assert!(costs.contains(&1), "{costs:?}: the claim alone");
    assert!(
        costs.windows(2).all(|pair| pair != [1, 1]),
        "{costs:?}: in between the queue is read"
    );
}

async fn more_kinds_than_one_query_holds() {
    let project = Project::new();
    let (worker, creator) = (listener(&project).await, project.connect().await);
    let kinds: Vec<_> = (0..65).map(|n| format!("K{n:02}")).collect();
    let mut subscription = worker.subscribe(Topic::Kinds(kinds.clone()));
    let demands = || {
        let mut all = request("", 1);
        let demand = all.demands.remove(0);
        all.demands = kinds
            .iter()
            .map(|kind| oncetask::store::Demand {
                kinds: vec![kind.clone()],
                ..demand.clone()
            })
            .collect();
        all
    };
    for kind in ["K00", "K31", "K64"] {
        creator.create(vec![task(kind, kind)]).await.expect("created");
        let mut claims = Vec::new();
        while claims.is_empty() {
            rung(&mut subscription).await;
            claims = worker.claim(demands()).await.expect("claimed").claims;
        }
        assert_eq!(claims[0].tasks[0].task.kind(), kind);
        worker
            .finish(vec![complete(&claims[0].tasks[0])], Utc::now())
            .await
            .expect("finished");
    }
}

async fn a_cancellation_reaches_the_handler() {
    let project = Project::new();
    let (worker, other) = (listener(&project).await, project.connect().await);
    worker.create(vec![task("a", "K")]).await.expect("created");
    let mut subscription = worker.subscribe(Topic::Kinds(vec!["K".into()]));
    let held = claim(&worker, "K", 1).await;
    assert_eq!(held.len(), 1);
    other
        .change(vec!["a".into()], Action::Cancel, Utc::now())
        .await
        .expect("cancelled");
    loop {
        let stopped = rung(&mut subscription).await.stopped;
        if !stopped.is_empty() {
            assert_eq!(stopped, ["a".into()]);
            return;
        }
    }
}

async fn the_head_of_the_queue_tells_when_to_look() {
    let project = Project::new();
    let (worker, other) = (listener(&project).await, project.connect().await);
    let mut subscription = worker.subscribe(Topic::Kinds(vec!["K".into()]));
    until("it listens", async || worker.is_listening()).await;
    let mut later = task("later", "K");
    later.state.wait_until = oncetask::task::whole_millis(Utc::now() + TimeDelta::hours(1));
    let due = later.state.wait_until;
    other.create(vec![later]).await.expect("created");
    rung(&mut subscription).await;
    until("it knows when", async || {
        let claimed = worker.claim(request("K", 1)).await.expect("answered");
        assert!(claimed.claims.is_empty());
        claimed.next_due == [Some(due)]
    })
    .await;
}

async fn nobody_listens_while_a_backlog_is_worked_off() {
    let worker = listener(&Project::new()).await;
    worker.create(tasks(40, "K")).await.expect("created");
    let _subscription = worker.subscribe(Topic::Kinds(vec!["K".into()]));
    until("the backlog is known", async || {
        let held = claim(&worker, "K", 1).await;
        let finishes = held.iter().map(complete).collect();
        worker.finish(finishes, Utc::now()).await.expect("finished");
        !worker.is_listening()
    })
    .await;
    let held = claim(&worker, "K", 40).await;
    worker
        .finish(held.iter().map(complete).collect(), Utc::now())
        .await
        .expect("finished");
    assert!(claim(&worker, "K", 1).await.is_empty());
    until("it listens again", async || worker.is_listening()).await;
}

async fn without_a_listener_a_poll_finds_it() {
    let project = Project::new();
    let options = project
        .options()
        .listen(false)
        .poll_every(Duration::from_millis(50));
    let (worker, creator) = (
        options.open("DEFAULT").await.expect("open"),
        project.connect().await,
    );
    let mut subscription = worker.subscribe(Topic::Kinds(vec!["K".into()]));
    creator.create(vec![task("a", "K")]).await.expect("created");
    rung(&mut subscription).await;
    assert_eq!(claim(&worker, "K", 1).await.len(), 1);
    assert!(!worker.is_listening());
}

async fn deaf(project: &Project) -> FirestoreStore {
    let options = project.options().listen(false);
    options.open("DEFAULT").await.expect("the emulator answers")
}

async fn without_a_listener_a_wait_ends() {
    let project = Project::new();
    let deaf = deaf(&project).await;
    let worker = project.connect().await;
    worker.create(vec![task("a", "K")]).await.expect("created");
    let waiting = tokio::spawn(async move { Client::new(deaf).wait(&"a".into()).await });
    let held = claim(&worker, "K", 1).await;
    worker
        .finish(vec![complete(&held[0])], Utc::now())
        .await
        .expect("finished");
    let ended = tokio::time::timeout(crate::world::PATIENCE, waiting).await;
    assert!(
        ended
            .expect("in time")
            .expect("no panic")
            .expect("completed")
            .is_done()
    );
}

async fn without_a_listener_a_second_end_rings() {
    let project = Project::new();
    let deaf = deaf(&project).await;
    let worker = project.connect().await;
    worker.create(vec![task("a", "K")]).await.expect("created");
    let mut subscription = deaf.subscribe(Topic::Task("a".into()));
    for _ in 0..2 {
        let held = claim(&worker, "K", 1).await;
        let finished = worker.finish(vec![complete(&held[0])], Utc::now()).await;
        assert_eq!(finished.expect("answered"), [Ok(())]);
        rung(&mut subscription).await;
        let reset = Client::new(worker.clone()).reset(&"a".into()).await;
        reset.expect("reset");
    }
}

async fn more_waits_than_a_connection_carries() {
    const WAITS: usize = 120;
    let project = Project::new();
    let (worker, other) = (project.connect().await, project.connect().await);
    worker.create(tasks(WAITS, "K")).await.expect("created");
    let client = Client::new(other);
    let mut waiting = tokio::task::JoinSet::new();
    for task in tasks(WAITS, "K") {
        let client = client.clone();
        waiting.spawn(async move { client.wait(task.id()).await });
    }
    let held = claim(&worker, "K", WAITS).await;
    worker
        .finish(held.iter().map(complete).collect(), Utc::now())
        .await
        .expect("finished");
    let all = tokio::time::timeout(crate::world::PATIENCE, waiting.join_all()).await;
    for ended in all.expect("in time") {
        assert!(ended.expect("completed").is_done());
    }
}
