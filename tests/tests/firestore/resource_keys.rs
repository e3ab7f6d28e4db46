//! Resource keys with several processes: no two tasks of one key run at the same time.

use std::collections::BTreeMap;
use std::env;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{TimeDelta, Utc};
use oncetask::Status;
use oncetask::store::{ClaimedTask, Filter, FirestoreStore, KeyClaims, Store as _, Topic};
use tests::harness::claims::{claim, complete, keyed_task, request};
use tests::harness::firestore::{Project, block_on};
use tests::harness::wait::until_async;
use tokio::task::JoinSet;

use crate::Tests;
use crate::go_worker;

pub(crate) const TESTS: Tests = &[
    ("processes_never_run_a_key_at_the_same_time", || {
        block_on(async { assert_eq!(overlaps(&["normal"; 4], 3, 90).await, 0) });
    }),
    (
        "processes_that_claim_at_random_never_run_a_key_at_the_same_time",
        || {
            block_on(async { assert_eq!(overlaps(&["random"; 4], 3, 60).await, 0) });
        },
    ),
    ("claims_without_verification_overlap", || {
        block_on(must_overlap(&["unverified"; 4], 3, 60));
    }),
    ("a_refused_task_keeps_its_turn_within_its_key", || {
        block_on(async {
            a_refused_task_is_not_overtaken(Next::Refused).await;
            a_refused_task_is_not_overtaken(Next::Owner).await;
        });
    }),
    (
        "workers_of_both_libraries_never_run_a_key_at_the_same_time",
        || {
            block_on(async {
                let fleet = ["go", "go", "normal", "random"];
                assert_eq!(overlaps(&fleet, 3, 96).await, 0);
            });
        },
    ),
    (
        "claims_without_verification_overlap_with_workers_of_the_go_library",
        || {
            block_on(must_overlap(&["go", "unverified"], 1, 30));
        },
    ),
];

/// The environment variable with which a test starts this program as a worker.
const ROLE: &str = "ONCETASK_TEST_ROLE";
const KIND: &str = "Keyed";
/// The duration of a handler.
const WORK: Duration = Duration::from_millis(30);
/// The maximum pause of a worker between two claims.
const MAX_PAUSE: Duration = Duration::from_millis(3);
/// The maximum delay of a task whose key is busy. A later due time is the end of a lease.
const MAX_KEY_DELAY: TimeDelta = TimeDelta::seconds(20);

/// Returns the role of this process if it must work instead of running tests: `WORKER HOST PROJECT`.
pub(crate) fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// Runs the tasks of the queue as this kind of worker. Prints a line for each task: its key, its start and its end.
pub(crate) fn run_role(role: &str) {
    let words: Vec<_> = role.split(' ').collect();
    let [worker, host, id] = words[..] else {
        panic!("invalid role `{role}`")
    };
    let project = Project {
        id: id.to_owned(),
        host: host.to_owned(),
    };
    let key_claims = match worker {
        "normal" => KeyClaims::Normal,
        "random" => KeyClaims::AtRandom,
        "unverified" => KeyClaims::Unverified,
        _ => return block_on(async move { go_worker::drain(&project, KIND, 1, work).await }),
    };
    block_on(async move {
        let store = project.options().key_claims(key_claims).open("DEFAULT").await;
        drain(store.expect("the emulator answers")).await;
    });
}

/// The worker that claims when the key is free. It read the queue before the other worker claimed the next task of the
/// key and released it.
enum Next {
    /// The worker whose claim of the key was refused.
    Refused,
    /// The worker that ran a task of the key.
    Owner,
}

async fn a_refused_task_is_not_overtaken(next: Next) {
    let project = Project::new();
    let [refused, owner] = [project.connect().await, project.connect().await];
    for (id, key) in [("0", "k"), ("1", "k"), ("2", ""), ("3", ""), ("4", "k")] {
        owner
            .create(vec![keyed_task(id, KIND, key)])
            .await
            .expect("the store answers");
    }
    let claimed = claim(&owner, KIND, 1).await.remove(0);
    assert_eq!(claimed.task.id().as_str(), "0");
    let first = claim(&refused, KIND, 1).await.remove(0);
    assert_eq!(first.task.id().as_str(), "2", "the key is busy");
    let finished = owner.finish(vec![complete(&claimed)], Utc::now()).await;
    assert_eq!(finished.expect("the store answers"), [Ok(())]);
    let claimer = match next {
        Next::Refused => refused,
        Next::Owner => owner,
    };
    // Another task takes the only slot. The response still asks for another claim soon.
    let now = Utc::now();
    let response = claimer.claim(request(KIND, 1)).await.expect("the store answers");
    assert_eq!(response.claims[0].tasks[0].task.id().as_str(), "3");
    let next = response.next_due[0].expect("more tasks are due");
    assert!(next < now + TimeDelta::seconds(1), "{next}");
    until_async("the worker claims the key", async || {
        let claimed = claim(&claimer, KIND, 10).await;
        let ids: Vec<_> = claimed.iter().map(|claimed| claimed.task.id().as_str()).collect();
        assert!(!ids.contains(&"4"), "`1` comes first: {ids:?}");
        ids.contains(&"1")
    })
    .await;
}

/// Checks that two processes run tasks of one key at the same time. This happens if one claims while the other's claim
/// is in flight, which does not occur in every round.
async fn must_overlap(fleet: &[&str], keys: usize, tasks: usize) {
    const ROUNDS: usize = 10;
    for _ in 0..ROUNDS {
        if overlaps(fleet, keys, tasks).await > 0 {
            return;
        }
    }
    panic!("no overlap was found, so the test would not detect one");
}

async fn drain(store: FirestoreStore) {
    const SLOTS: usize = 4;
    // A worker with a subscription is handed the next task of its key.
    let _subscription = store.subscribe(Topic::Kinds(vec![KIND.to_owned()]));
    let mut running = JoinSet::new();
    loop {
        let now = Utc::now();
        let mut next = None;
        if running.len() < SLOTS {
            let response = store
                .claim(request(KIND, SLOTS - running.len()))
                .await
                .expect("the store answers");
            // A later due time is the end of the lease of a task that another worker runs.
            next = response.next_due[0].filter(|next| *next < now + MAX_KEY_DELAY);
            for claimed in response.claims.into_iter().flat_map(|claim| claim.tasks) {
                running.spawn(handle(store.clone(), claimed));
            }
        }
        let Some(next) = next.filter(|_| running.is_empty()) else {
            if running.join_next().await.is_none() {
                // A task that is handed over or released is briefly not due. A worker must not stop before it is done.
                if all_completed(&store).await {
                    return;
                }
                tokio::time::sleep(MAX_PAUSE).await;
            }
            continue;
        };
        tokio::time::sleep((next - now).to_std().unwrap_or_default().min(MAX_PAUSE)).await;
    }
}

async fn all_completed(store: &FirestoreStore) -> bool {
    let all = Filter::new().kind(KIND);
    let completed = all.clone().status(Status::Completed);
    let [all, completed] = [all, completed].map(|filter| store.count(filter, Utc::now()));
    all.await.expect("the store answers") == completed.await.expect("the store answers")
}

async fn handle(store: FirestoreStore, claimed: ClaimedTask) {
    work(
        claimed
            .task
            .resource_key()
            .expect("every task has a key")
            .to_string(),
    )
    .await;
    let finished = store.finish(vec![complete(&claimed)], Utc::now()).await;
    assert_eq!(finished.expect("the store answers"), [Ok(())]);
}

/// Runs the work of a handler, and prints its key, its start and its end.
async fn work(key: String) {
    let began = nanos();
    tokio::time::sleep(WORK).await;
    println!("{key} {began} {}", nanos());
}

fn nanos() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("the clock is set").as_nanos()
}

/// Runs tasks with several processes. Returns the number of tasks that began while another one of their key ran.
async fn overlaps(fleet: &[&str], keys: usize, tasks: usize) -> usize {
    let project = Project::new();
    let store = project.connect().await;
    let all = (0..tasks).map(|n| keyed_task(&format!("{n:04}"), KIND, &format!("key-{}", n % keys)));
    store.create(all.collect()).await.expect("the store answers");
    let start = |worker: &&str| {
        let role = format!("{worker} {} {}", project.host, project.id);
        let mut command = Command::new(env::current_exe().expect("this program"));
        command
            .env(ROLE, role)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command.spawn().expect("the process starts")
    };
    let children: Vec<_> = fleet.iter().map(start).collect();
    let mut intervals: BTreeMap<String, Vec<(u128, u128)>> = BTreeMap::new();
    for child in children {
        let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await;
        let output = output.expect("no panic").expect("the process ends");
        assert!(output.status.success());
        for line in String::from_utf8(output.stdout).expect("text").lines() {
            let words: Vec<_> = line.split(' ').collect();
            let times = (
                words[1].parse().expect("a number"),
                words[2].parse().expect("a number"),
            );
            intervals.entry(words[0].to_owned()).or_default().push(times);
        }
    }
    assert_eq!(
        intervals.values().map(Vec::len).sum::<usize>(),
        tasks,
        "each task ran once"
    );
    let completed = Filter::new().kind(KIND).status(Status::Completed);
    let completed = store
        .count(completed, Utc::now())
        .await
        .expect("the store answers");
    assert_eq!(completed, tasks as u64);
    intervals.into_values().map(count_overlaps).sum()
}

/// Returns the number of intervals that begin before the end of an earlier one.
fn count_overlaps(mut intervals: Vec<(u128, u128)>) -> usize {
    intervals.sort_unstable();
    let mut ends = 0;
    let mut overlaps = 0;
    for (began, ended) in intervals {
        overlaps += usize::from(began < ends);
        ends = ends.max(ended);
    }
    overlaps
}
