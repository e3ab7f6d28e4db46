//! What a process remembers of its claims decides only while they hold, and a lease that ends is seen wherever
//! it was taken.

use std::collections::HashSet;
use std::path::Path;

use rusqlite::Connection;

use super::{at, completions, create, request, store, task};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::together::ROWS;
use crate::store::{Action, ClaimResponse, Store};
use crate::task::transition::{Change, LeaseLost, Verdict};
use crate::task::{Json, Progress, Status, Task, TaskId};

async fn again(directory: &Path) -> SqliteStore {
    let store = SqliteStore::open(directory.join("tasks.db"), "TEST").await;
    store.expect("it is opened once more")
}

async fn claim(store: &SqliteStore, seconds: i64) -> ClaimResponse {
    let claimed = store.claim(request(&["Mail"], 9, at(seconds))).await;
    claimed.expect("it is answered")
}

async fn finish(store: &SqliteStore, claimed: &ClaimResponse) -> Vec<Result<(), LeaseLost>> {
    let finished = store.finish(completions(claimed), at(1)).await;
    finished.expect("it is answered")
}

async fn change(store: &SqliteStore, action: Action) {
    let changed = store.change(vec![TaskId::new("a")], action, at(1)).await;
    assert_eq!(changed.expect("it is answered"), [Change::Applied]);
}

async fn stored(store: &SqliteStore) -> Task {
    let mut tasks = store.get(vec![TaskId::new("a")]).await.expect("it is read");
    tasks.remove(0).expect("it is there")
}

#[tokio::test]
async fn a_cancellation_by_another_process_wins() {
    let (directory, store) = store().await;
    let other = again(directory.path()).await;
    create(&store, [task("a", "Mail", None)]).await;
    let claimed = claim(&store, 0).await;
    change(&other, Action::Cancel).await;
    assert_eq!(finish(&store, &claimed).await, [Ok(())]);
    assert_eq!(stored(&store).await.status(at(1)), Status::Cancelled);
}

#[tokio::test]
async fn a_task_that_another_process_deleted_or_took_is_lost() {
    let (directory, store) = store().await;
    let other = again(directory.path()).await;
    create(&store, [task("a", "Mail", None)]).await;
    let claimed = claim(&store, 0).await;
    change(&other, Action::Delete).await;
    create(&other, [task("a", "Mail", None)]).await;
    assert_eq!(finish(&store, &claimed).await, [Err(LeaseLost)]);
    assert_eq!(stored(&store).await.status(at(1)), Status::Pending);

    let first = claim(&store, 0).await;
    assert_eq!(first.next_due, [Some(at(60))], "its lease may end");
    let second = claim(&other, 60).await;
    assert!(second.claims[0].tasks[0].orphaned);
    assert_eq!(finish(&store, &first).await, [Err(LeaseLost)]);
    assert_eq!(finish(&other, &second).await, [Ok(())]);
    assert_eq!(finish(&other, &second).await, [Err(LeaseLost)]);
    assert_eq!(stored(&store).await.attempts(), 2);
}

#[tokio::test]
async fn a_token_ends_the_claim_of_its_own_task_only() {
    let (_directory, store) = store().await;
    create(&store, ["a", "b"].map(|id| task(id, "Mail", None))).await;
    let claimed = claim(&store, 0).await;
    let mut ends = completions(&claimed);
    ends[0].id = ends[1].id.clone();
    ends.truncate(1);
    let finished = store.finish(ends, at(1)).await.expect("it is answered");
    assert_eq!(finished, [Err(LeaseLost)]);
    assert_eq!(finish(&store, &claimed).await, [Ok(()), Ok(())]);
}

#[tokio::test]
async fn what_a_handler_said_last_is_stored_with_its_end() {
    let (_directory, store) = store().await;
    create(&store, [task("a", "Mail", None)]).await;
    let mut ends = completions(&claim(&store, 0).await);
    ends[0].progress = Some(Progress {
        fraction: 0.5,
        message: "half of it".to_owned(),
        at: at(1),
    });
    let finished = store.finish(ends, at(1)).await.expect("it is answered");
    assert_eq!(finished, [Ok(())]);
    let progress = stored(&store).await.state.progress.expect("it is kept");
    assert_eq!(progress.message, "half of it");
}

#[tokio::test]
async fn a_lease_of_an_older_program_that_ended_is_claimed_once() {
    let (directory, store) = store().await;
    create(&store, [task("a", "Mail", None)]).await;
    let old = claim(&store, 0).await;
    let file = Connection::open(directory.path().join("tasks.db")).expect("the older program");
    file.execute_batch("UPDATE tasks SET due = lease_until")
        .expect("it leaves it in the queue");
    assert_eq!(claim(&store, 59).await.next_due, [Some(at(60))]);
    let new = claim(&store, 60).await;
    assert_eq!(new.claims.len(), 1);
    assert_eq!(finish(&store, &old).await, [Err(LeaseLost)]);
    assert_eq!(finish(&store, &new).await, [Ok(())]);
}

#[tokio::test]
async fn many_ends_are_stored_as_they_were_told() {
    end_many(None).await;
}

#[tokio::test]
async fn of_many_ends_one_that_is_lost_leaves_the_others_as_they_were_told() {
    // Among others that end so, and among some that do not.
    for place in [3, 13] {
        end_many(Some((place, Loss::Cancelled))).await;
        end_many(Some((place, Loss::Deleted))).await;
        end_many(Some((place, Loss::Repeated))).await;
    }
}

/// What comes between a claim and its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// Another process cancels the task.
    Cancelled,
    /// Another process deletes it.
    Deleted,
    /// It ends once more in the same call.
    Repeated,
}

/// Ends many claims in one call, one of which may get lost.
async fn end_many(loss: Option<(usize, Loss)>) {
    const MANY: usize = 2 * ROWS + 3;
    let (directory, store) = store().await;
    let other = again(directory.path()).await;
    // Not all of them lie side by side.
    let bystander = |n: usize| (n % 11 == 7).then(|| task(&format!("bystander {n}"), "Other", None));
    let tasks = (0..MANY).flat_map(|n| [Some(task(&format!("{n}"), "Mail", None)), bystander(n)]);
    create(&store, tasks.flatten()).await;
    let claimed = store.claim(request(&["Mail"], MANY, at(0))).await;
    let mut ends = completions(&claimed.expect("they are claimed"));
    assert_eq!(ends.len(), MANY);
    for (n, end) in ends.iter_mut().enumerate() {
        end.verdict = match n % 10 {
            9 => Verdict::Fail {
                error: "no".to_owned(),
            },
            // Ten that end alike, and ten that do not.
            1 | 2 | 5 if n / 10 % 2 == 1 => {
                Verdict::Complete(Some(Json::parse(format!("[{n}]")).expect("JSON")))
            }
            _ => Verdict::Complete(None),
        };
    }
    let (place, loss) = loss.unzip();
    let lost = place.map(|place| ends[place].clone());
    let action = match loss {
        Some(Loss::Cancelled) => Some(Action::Cancel),
        Some(Loss::Deleted) => Some(Action::Delete),
        _ => None,
    };
    if let (Some(lost), Some(action)) = (&lost, action) {
        let changed = other.change(vec![lost.id.clone()], action, at(1)).await;
        assert_eq!(changed.expect("it is answered"), [Change::Applied]);
    }
    ends.extend(lost.filter(|_| loss == Some(Loss::Repeated)));

    let outcomes = store.finish(ends.clone(), at(1)).await.expect("it is answered");
    let ids: Vec<_> = ends.iter().map(|end| end.id.clone()).collect();
    let tasks = store.get(ids).await.expect("they are read");
    for (n, (task, outcome)) in tasks.iter().zip(outcomes).enumerate() {
        let loss = loss.filter(|_| place == Some(n));
        let deleted = loss == Some(Loss::Deleted);
        assert_eq!(outcome.is_err(), n == MANY || deleted, "{n}");
        let Some(task) = task else {
            assert!(deleted, "{n}");
            continue;
        };
        let status = match ends[n].verdict {
            _ if loss == Some(Loss::Cancelled) => Status::Cancelled,
            Verdict::Fail { .. } => Status::Failed,
            _ => Status::Completed,
        };
        assert_eq!(task.status(at(1)), status, "{n}");
        assert_eq!((task.attempts(), &task.state.lease), (1, &None), "{n}");
        if let (Status::Completed, Verdict::Complete(result)) = (status, &ends[n].verdict) {
            assert_eq!(&task.state.result, result, "{n}");
        }
    }
    let bystanders = store.claim(request(&["Other"], MANY, at(1))).await;
    let bystanders = bystanders.expect("they are claimed").claims;
    assert_eq!(bystanders.len(), (0..MANY).filter_map(bystander).count());
    assert!(bystanders.iter().all(|claim| claim.tasks[0].task.attempts() == 1));
}

#[tokio::test]
async fn a_claim_of_many_counts_the_attempts_of_each() {
    const MANY: usize = ROWS + 2;
    let (_directory, store) = store().await;
    create(&store, (0..MANY).map(|n| task(&format!("{n}"), "Mail", None))).await;
    let mut times = [0; MANY];
    let mut tokens = HashSet::new();
    for round in 0..3 {
        let claimed = store.claim(request(&["Mail"], MANY, at(round))).await;
        let claimed = claimed.expect("they are claimed");
        let mut ends = completions(&claimed);
        assert_eq!(ends.len(), MANY);
        for task in claimed.claims.iter().flat_map(|claim| &claim.tasks) {
            let number: usize = task.task.id().as_str().parse().expect("a number");
            times[number] += 1;
            assert_eq!(task.task.attempts(), times[number], "{number}");
        }
        for (n, end) in ends.iter_mut().enumerate() {
            assert!(tokens.insert(end.token), "a token that another claim had");
            if n.is_multiple_of(3) {
                // As if it had not been claimed.
                let number: usize = end.id.as_str().parse().expect("a number");
                times[number] -= 1;
                end.verdict = Verdict::Release;
            } else {
                end.verdict = Verdict::Retry {
                    at: at(round + 1),
                    error: "again".to_owned(),
                };
            }
        }
        let outcomes = store.finish(ends, at(round)).await.expect("it is answered");
        assert!(outcomes.iter().all(Result::is_ok));
    }
}
