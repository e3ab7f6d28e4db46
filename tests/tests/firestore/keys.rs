//! Resource keys between processes: of one key never two tasks at once.

use std::collections::BTreeMap;
use std::env;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{TimeDelta, Utc};
use oncetask::Status;
use oncetask::store::{ClaimedTask, Filter, FirestoreStore, KeyClaims, Store as _, Topic};
use tokio::task::JoinSet;

use crate::Tests;
use crate::go;
use crate::world::{Project, block_on, claim, complete, keyed, request, until};

pub(crate) const TESTS: Tests = &[
    ("processes_never_hold_a_key_together", || {
        block_on(async { assert_eq!(overlaps(&["normal"; 4], 3, 90).await, 0) });
    }),
    ("processes_that_want_any_task_never_hold_a_key_together", || {
        block_on(async { assert_eq!(overlaps(&["random"; 4], 3, 60).await, 0) });
    }),
    ("looking_before_claiming_is_not_enough", || {
        block_on(must_overlap(&["unverified"; 4], 3, 60));
    }),
    ("a_refused_task_is_not_overtaken_by_the_next_of_its_key", || {
        block_on(async {
            a_refused_task_is_not_overtaken(Next::Refused).await;
            a_refused_task_is_not_overtaken(Next::Holder).await;
        });
    }),
    ("workers_in_go_and_ours_never_hold_a_key_together", || {
        block_on(async {
            let fleet = ["go", "go", "normal", "random"];
            assert_eq!(overlaps(&fleet, 3, 96).await, 0);
        });
    }),
    ("looking_first_is_not_enough_beside_workers_in_go", || {
        block_on(must_overlap(&["go", "unverified"], 1, 30));
    }),
];

const ROLE: &str = "ONCETASK_TEST_ROLE";
const KIND: &str = "Keyed";
/// How long a handler works.
const WORK: Duration = Duration::from_millis(30);
/// How long a worker waits at the most until it looks again.
const LOOK: Duration = Duration::from_millis(3);

/// Longer than a task waits whose key is held.
const LAST: TimeDelta = TimeDelta::seconds(20);

/// What this program is to do instead of testing: `HOW HOST PROJECT`.
pub(crate) fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// What one process of a stress does: it works the queue off, and writes when it held which key.
pub(crate) fn work_off(role: &str) {
    let words: Vec<_> = role.split(' ').collect();
    let [how, host, id] = words[..] else {
        panic!("`{role}` is no role")
    };
    let project = Project {
        id: id.to_owned(),
        host: host.to_owned(),
    };
    let how = match how {
        "normal" => KeyClaims::Normal,
        "random" => KeyClaims::AtRandom,
        "unverified" => KeyClaims::Unverified,
        _ => return block_on(async move { go::drain(&project, KIND, 1, work).await }),
    };
    block_on(async move {
        let store = project.options().key_claims(how).open("DEFAULT").await;
        drain(store.expect("the emulator answers")).await;
    });
}

/// Who claims when the key is free: the one that was refused, or the one that held it. It has read the queue before
/// the other claimed the next task of the key and gave it back.
enum Next {
    Refused,
    Holder,
}

async fn a_refused_task_is_not_overtaken(next: Next) {
    let project = Project::new();
    let [refused, holder] = [project.connect().await, project.connect().await];
    for (id, key) in [("0", "k"), ("1", "k"), ("2", ""), ("3", ""), ("4", "k")] {
        holder.create(vec![keyed(id, KIND, key)]).await.expect("created");
    }
    let held = claim(&holder, KIND, 1).await.remove(0);
    assert_eq!(held.task.id().as_str(), "0");
    let first = claim(&refused, KIND, 1).await.remove(0);
    assert_eq!(first.task.id().as_str(), "2", "the key is held");
    let finished = holder.finish(vec![complete(&held)], Utc::now()).await;
    assert_eq!(finished.expect("answered"), [Ok(())]);
    let claimer = match next {
        Next::Refused => refused,
        Next::Holder => holder,
    };
    // What else there is fills its room; it is to look again soon all the same.
    let now = Utc::now();
    let claimed = claimer.claim(request(KIND, 1)).await.expect("claimed");
    assert_eq!(claimed.claims[0].tasks[0].task.id().as_str(), "3");
    let next = claimed.next_due[0].expect("more is due");
    assert!(next < now + TimeDelta::seconds(1), "{next}");
    until("it gets the key", async || {
        let claimed = claim(&claimer, KIND, 10).await;
        let ids: Vec<_> = claimed.iter().map(|held| held.task.id().as_str()).collect();
        assert!(!ids.contains(&"4"), "`1` comes first: {ids:?}");
        ids.contains(&"1")
    })
    .await;
}

/// Finds two processes that hold a key at once. They meet when one looks while the other's claim is under way: not in
/// every round.
async fn must_overlap(fleet: &[&str], keys: usize, tasks: usize) {
    const ROUNDS: usize = 10;
    for _ in 0..ROUNDS {
        if overlaps(fleet, keys, tasks).await > 0 {
            return;
        }
    }
    panic!("this test would not find two who hold a key");
}

async fn drain(store: FirestoreStore) {
    const SLOTS: usize = 4;
    // A worker that subscriptions the queue is handed the next task of its key.
    let _subscription = store.subscribe(Topic::Kinds(vec![KIND.to_owned()]));
    let mut running = JoinSet::new();
    loop {
        let now = Utc::now();
        let mut next = None;
        if running.len() < SLOTS {
            let claimed = store
                .claim(request(KIND, SLOTS - running.len()))
                .await
                .expect("claimed");
            // What is due later than that is the end of a lease, of a task that somebody else runs or has run.
            next = claimed.next_due[0].filter(|next| *next < now + LAST);
            for held in claimed.claims.into_iter().flat_map(|claim| claim.tasks) {
                running.spawn(handle(store.clone(), held));
            }
        }
        let Some(next) = next.filter(|_| running.is_empty()) else {
            if running.join_next().await.is_none() {
                // What is handed on, or given back, is nobody's for a moment, and nobody must have left by then.
                if all_completed(&store).await {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
            continue;
        };
        tokio::time::sleep((next - now).to_std().unwrap_or_default().min(LOOK)).await;
    }
}

async fn all_completed(store: &FirestoreStore) -> bool {
    let all = Filter::new().kind(KIND);
    let completed = all.clone().status(Status::Completed);
    let [all, completed] = [all, completed].map(|filter| store.count(filter, Utc::now()));
    all.await.expect("counted") == completed.await.expect("counted")
}

async fn handle(store: FirestoreStore, held: ClaimedTask) {
    work(held.task.resource_key().expect("all have one").to_string()).await;
    let finished = store.finish(vec![complete(&held)], Utc::now()).await;
    assert_eq!(finished.expect("answered"), [Ok(())]);
}

/// Works, and writes when.
async fn work(key: String) {
    let began = nanos();
    tokio::time::sleep(WORK).await;
    println!("{key} {began} {}", nanos());
}

fn nanos() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("the clock is set").as_nanos()
}

/// Works a queue off with several processes. Returns how often two of them held a key together.
async fn overlaps(fleet: &[&str], keys: usize, tasks: usize) -> usize {
    let project = Project::new();
    let store = project.connect().await;
    let all = (0..tasks).map(|n| keyed(&format!("{n:04}"), KIND, &format!("key-{}", n % keys)));
    store.create(all.collect()).await.expect("created");
    let start = |how: &&str| {
        let role = format!("{how} {} {}", project.host, project.id);
        let mut command = Command::new(env::current_exe().expect("this program"));
        command
            .env(ROLE, role)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command.spawn().expect("it starts")
    };
    let children: Vec<_> = fleet.iter().map(start).collect();
    let mut held: BTreeMap<String, Vec<(u128, u128)>> = BTreeMap::new();
    for child in children {
        let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await;
        let output = output.expect("no panic").expect("it ends");
        assert!(output.status.success());
        for line in String::from_utf8(output.stdout).expect("text").lines() {
            let words: Vec<_> = line.split(' ').collect();
            let times = (
                words[1].parse().expect("a time"),
                words[2].parse().expect("a time"),
            );
            held.entry(words[0].to_owned()).or_default().push(times);
        }
    }
    assert_eq!(held.values().map(Vec::len).sum::<usize>(), tasks, "each ran once");
    let completed = Filter::new().kind(KIND).status(Status::Completed);
    let completed = store.count(completed, Utc::now()).await.expect("counted");
    assert_eq!(completed, tasks as u64);
    held.into_values().map(meetings).sum()
}

/// How many of the intervals begin before the one before has ended.
fn meetings(mut intervals: Vec<(u128, u128)>) -> usize {
    intervals.sort_unstable();
    let mut ends = 0;
    let mut meetings = 0;
    for (began, ended) in intervals {
        meetings += usize::from(began < ends);
        ends = ends.max(ended);
    }
    meetings
}
