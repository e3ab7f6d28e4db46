mod claims;
mod equivalence;
mod errors;
mod files;
mod inserts;
mod queue;

use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;

use super::SqliteStore;
use crate::store::{ClaimRequest, ClaimResponse, Demand, Finish, Store};
use crate::task::transition::Verdict;
use crate::task::{Json, ResourceKey, Task, TaskId, TaskSpec};

/// Returns a store in a new file, and the temporary directory of the file.
async fn store() -> (TempDir, SqliteStore) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = SqliteStore::open(directory.path().join("tasks.db"), "TEST").await;
    (directory, store.expect("a new file is opened"))
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("an instant")
}

fn task(id: &str, kind: &str, key: Option<&str>) -> Task {
    let spec = TaskSpec {
        id: TaskId::new(id),
        kind: kind.into(),
        payload: Json::parse(format!(r#"{{"id":"{id}"}}"#)).expect("JSON"),
        resource_key: key.and_then(ResourceKey::new),
        created_at: at(0),
        recurrence: None,
        occurrence: None,
    };
    Task::new(spec, at(0))
}

fn request(kinds: &[&str], max_claims: usize, now: DateTime<Utc>) -> ClaimRequest {
    ClaimRequest {
        owner: "worker".into(),
        now,
        demands: vec![Demand {
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            max_claims,
            max_group: 1,
            lease: TimeDelta::seconds(60),
            generators_only: false,
        }],
    }
}

/// Returns a completion of every task that was claimed.
fn completions(response: &ClaimResponse) -> Vec<Finish> {
    let tasks = response.claims.iter().flat_map(|claim| &claim.tasks);
    tasks
        .map(|claimed| Finish {
            id: claimed.task.id().clone(),
            token: claimed
                .task
                .state
                .lease
                .as_ref()
                .expect("a claimed task has a lease")
                .token,
            verdict: Verdict::Complete(None),
            cleanup: false,
            spawn: Vec::new(),
            progress: None,
        })
        .collect()
}

async fn create(store: &dyn Store, tasks: impl IntoIterator<Item = Task>) {
    store
        .create(tasks.into_iter().collect())
        .await
        .expect("the tasks are created");
}
