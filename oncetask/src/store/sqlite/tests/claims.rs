//! Claims and their ends: changes by other processes override the claim cache, any process can claim a task
//! whose lease has expired, and batches have the same effect as single writes.

use std::collections::HashSet;
use std::path::Path;

use rusqlite::Connection;

use super::{at, completions, create, request, store, task};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::batch_sql::ROWS_PER_STATEMENT;
use crate::store::{Action, ClaimResponse, Finish, Store};
use crate::task::transition::{Change, LeaseLost, Verdict};
use crate::task::{Json, Progress, Status, Task, TaskId};

/// Opens the file once more, as another process does.
async fn second_store(directory: &Path) -> SqliteStore {
    let store = SqliteStore::open(directory.join("tasks.db"), "TEST").await;
    store.expect("the file is opened a second time")
}

async fn claim(store: &SqliteStore, seconds: i64) -> ClaimResponse {
    let response = store.claim(request(&["Mail"], 9, at(seconds))).await;
    response.expect("the claim succeeds")
}

async fn complete(store: &SqliteStore, claimed: &ClaimResponse) -> Vec<Result<(), LeaseLost>> {
    finish(store, completions(claimed)).await
}

async fn finish(store: &SqliteStore, finishes: Vec<Finish>) -> Vec<Result<(), LeaseLost>> {
    let results = store.finish(finishes, at(1)).await;
    results.expect("the claims end")
}

async fn change(store: &SqliteStore, action: Action) {
    change_task(store, TaskId::new("a"), action).await;
}

async fn change_task(store: &SqliteStore, id: TaskId, action: Action) {
    let changed = store.change(vec![id], action, at(1)).await;
    assert_eq!(changed.expect("the change succeeds"), [Change::Applied]);
}

async fn stored(store: &SqliteStore) -> Task {
    let mut tasks = store.get(vec![TaskId::new("a")]).await.expect("the task is read");
    tasks.remove(0).expect("the task exists")
}

#[tokio::test]
async fn a_cancellation_by_another_process_wins() {
    let (directory, store) = store().await;
    let other = second_store(directory.path()).await;
    create(&store, [task("a", "Mail", None)]).await;
    let claimed = claim(&store, 0).await;
    change(&other, Action::Cancel).await;
    assert_eq!(complete(&store, &claimed).await, [Ok(())]);
    assert_eq!(stored(&store).await.status(at(1)), Status::Cancelled);
}

#[tokio::test]
async fn a_task_that_another_process_deleted_or_claimed_is_lost() {
    let (directory, store) = store().await;
    let other = second_store(directory.path()).await;
    create(&store, [task("a", "Mail", None)]).await;
    let claimed = claim(&store, 0).await;
    change(&other, Action::Delete).await;
    create(&other, [task("a", "Mail", None)]).await;
    assert_eq!(complete(&store, &claimed).await, [Err(LeaseLost)]);
    assert_eq!(stored(&store).await.status(at(1)), Status::Pending);

    let first = claim(&store, 0).await;
    assert_eq!(first.next_due, [Some(at(60))], "the end of its lease");
    let second = claim(&other, 60).await;
    assert!(second.claims[0].tasks[0].orphaned);
    assert_eq!(complete(&store, &first).await, [Err(LeaseLost)]);
    assert_eq!(complete(&other, &second).await, [Ok(())]);
    assert_eq!(complete(&other, &second).await, [Err(LeaseLost)]);
    assert_eq!(stored(&store).await.attempts(), 2);
}

#[tokio::test]
async fn a_token_ends_only_the_claim_of_its_own_task() {
    let (_directory, store) = store().await;
    create(&store, ["a", "b"].map(|id| task(id, "Mail", None))).await;
    let claimed = claim(&store, 0).await;
    let mut ends = completions(&claimed);
    ends[0].id = ends[1].id.clone();
    ends.truncate(1);
    assert_eq!(finish(&store, ends).await, [Err(LeaseLost)]);
    assert_eq!(complete(&store, &claimed).await, [Ok(()), Ok(())]);
}

#[tokio::test]
async fn the_last_progress_is_stored_with_the_end_of_the_claim() {
    let (_directory, store) = store().await;
    create(&store, [task("a", "Mail", None)]).await;
    let mut ends = completions(&claim(&store, 0).await);
    ends[0].progress = Some(Progress {
        fraction: 0.5,
        message: "half done".to_owned(),
        at: at(1),
    });
    assert_eq!(finish(&store, ends).await, [Ok(())]);
    let progress = stored(&store)
        .await
        .state
        .progress
        .expect("the progress is stored");
    assert_eq!(progress.message, "half done");
}

#[tokio::test]
async fn an_expired_lease_of_an_older_program_is_claimed_once() {
    let (directory, store) = store().await;
    create(&store, [task("a", "Mail", None)]).await;
    let old = claim(&store, 0).await;
    let file = Connection::open(directory.path().join("tasks.db")).expect("the file is opened");
    file.execute_batch("UPDATE tasks SET due = lease_until")
        .expect("a program of version 2 leaves leased tasks in the queue");
    assert_eq!(claim(&store, 59).await.next_due, [Some(at(60))]);
    let new = claim(&store, 60).await;
    assert_eq!(new.claims.len(), 1);
    assert_eq!(complete(&store, &old).await, [Err(LeaseLost)]);
    assert_eq!(complete(&store, &new).await, [Ok(())]);
}

#[tokio::test]
async fn a_batch_of_ends_is_stored() {
    end_batch(None).await;
}

#[tokio::test]
async fn a_lost_end_in_a_batch_leaves_the_other_ends_unchanged() {
    // Index 3 is in a range of equal ends, index 13 is not.
    for index in [3, 13] {
        end_batch(Some((index, Loss::Cancelled))).await;
        end_batch(Some((index, Loss::Deleted))).await;
        end_batch(Some((index, Loss::Repeated))).await;
    }
}

/// The event that makes one end of a batch differ from the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// Another process cancels the task.
    Cancelled,
    /// Another process deletes the task.
    Deleted,
    /// The same claim ends twice in one call.
    Repeated,
}

const BATCH_LEN: usize = 2 * ROWS_PER_STATEMENT + 3;

/// Ends [`BATCH_LEN`] claims in one call. If `loss` is given, the claim with its index differs from the others.
async fn end_batch(loss: Option<(usize, Loss)>) {
    let (directory, store) = store().await;
    let other = second_store(directory.path()).await;
    let bystanders = create_batch(&store).await;
    let claimed = store.claim(request(&["Mail"], BATCH_LEN, at(0))).await;
    let mut ends = completions(&claimed.expect("the tasks are claimed"));
    assert_eq!(ends.len(), BATCH_LEN);
    for (index, end) in ends.iter_mut().enumerate() {
        end.verdict = verdict(index);
    }
    if let Some((index, loss)) = loss {
        let lost = ends[index].clone();
        match loss {
            Loss::Cancelled => change_task(&other, lost.id, Action::Cancel).await,
            Loss::Deleted => change_task(&other, lost.id, Action::Delete).await,
            Loss::Repeated => ends.push(lost),
        }
    }
    let results = finish(&store, ends.clone()).await;
    check_batch(&store, &ends, &results, loss).await;

    let claimed = store.claim(request(&["Other"], BATCH_LEN, at(1))).await;
    let claims = claimed.expect("the bystanders are claimed").claims;
    assert_eq!(claims.len(), bystanders);
    assert!(claims.iter().all(|claim| claim.tasks[0].task.attempts() == 1));
}

/// Creates [`BATCH_LEN`] tasks, and tasks of another kind between some of them, so that not all rows are
/// adjacent. Returns the number of these bystanders.
async fn create_batch(store: &SqliteStore) -> usize {
    let bystander = |n: usize| (n % 11 == 7).then(|| task(&format!("bystander {n}"), "Other", None));
    let tasks = (0..BATCH_LEN).flat_map(|n| [Some(task(&format!("{n}"), "Mail", None)), bystander(n)]);
    create(store, tasks.flatten()).await;
    (0..BATCH_LEN).filter_map(bystander).count()
}

/// Returns the verdict on a task. Nine equal verdicts and a failure alternate with ten mixed verdicts.
fn verdict(index: usize) -> Verdict {
    match index % 10 {
        9 => Verdict::Fail {
            error: "no".to_owned(),
        },
        1 | 2 | 5 if index / 10 % 2 == 1 => {
            Verdict::Complete(Some(Json::parse(format!("[{index}]")).expect("JSON")))
        }
        _ => Verdict::Complete(None),
    }
}

/// Checks the results of the ends and the stored tasks.
async fn check_batch(
    store: &SqliteStore,
    ends: &[Finish],
    results: &[Result<(), LeaseLost>],
    loss: Option<(usize, Loss)>,
) {
    let ids: Vec<_> = ends.iter().map(|end| end.id.clone()).collect();
    let tasks = store.get(ids).await.expect("the tasks are read");
    for (index, (task, result)) in tasks.iter().zip(results).enumerate() {
        let loss = loss.filter(|(lost, _)| *lost == index).map(|(_, loss)| loss);
        let deleted = loss == Some(Loss::Deleted);
        assert_eq!(result.is_err(), index == BATCH_LEN || deleted, "{index}");
        let Some(task) = task else {
            assert!(deleted, "{index}");
            continue;
        };
        let status = match ends[index].verdict {
            _ if loss == Some(Loss::Cancelled) => Status::Cancelled,
            Verdict::Fail { .. } => Status::Failed,
            _ => Status::Completed,
        };
        assert_eq!(task.status(at(1)), status, "{index}");
        assert_eq!((task.attempts(), &task.state.lease), (1, &None), "{index}");
        if let (Status::Completed, Verdict::Complete(result)) = (status, &ends[index].verdict) {
            assert_eq!(&task.state.result, result, "{index}");
        }
    }
}

#[tokio::test]
async fn a_batch_of_claims_counts_the_attempts_of_each_task() {
    const TASKS: usize = ROWS_PER_STATEMENT + 2;
    let (_directory, store) = store().await;
    create(&store, (0..TASKS).map(|n| task(&format!("{n}"), "Mail", None))).await;
    let mut attempts = [0; TASKS];
    let mut tokens = HashSet::new();
    for round in 0..3 {
        let claimed = store.claim(request(&["Mail"], TASKS, at(round))).await;
        let claimed = claimed.expect("the tasks are claimed");
        let mut ends = completions(&claimed);
        assert_eq!(ends.len(), TASKS);
        for task in claimed.claims.iter().flat_map(|claim| &claim.tasks) {
            let number: usize = task.task.id().as_str().parse().expect("a number");
            attempts[number] += 1;
            assert_eq!(task.task.attempts(), attempts[number], "{number}");
        }
        for (index, end) in ends.iter_mut().enumerate() {
            assert!(tokens.insert(end.token), "another claim has the same token");
            if index.is_multiple_of(3) {
                // A release does not count the attempt.
                let number: usize = end.id.as_str().parse().expect("a number");
                attempts[number] -= 1;
                end.verdict = Verdict::Release;
            } else {
                end.verdict = Verdict::Retry {
                    at: at(round + 1),
                    error: "try again".to_owned(),
                };
            }
        }
        let results = store.finish(ends, at(round)).await.expect("the claims end");
        assert!(results.iter().all(Result::is_ok));
    }
}
