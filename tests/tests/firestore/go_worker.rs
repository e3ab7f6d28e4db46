//! A worker that makes the same requests as a worker of the Go library. One transaction finds the first due task,
//! queries the leased tasks of its key, reads the task again and leases it. Another transaction ends the task without
//! checking the lease.

use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use tests::harness::firestore::Project;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

const LEASE: TimeDelta = TimeDelta::minutes(10);
/// The pause of a slot that found no task. The Go library pauses for a minute, which is too long for a test.
const PAUSE: Duration = Duration::from_millis(100);

/// A leased task.
struct Task {
    name: String,
    key: String,
}

/// The result of a search for a due task.
enum Search {
    Leased(Task),
    /// No task is due, its key is busy, or the transaction was aborted.
    Retry,
    /// Every task is done.
    Done,
}

/// Runs tasks of a kind in this number of slots until every task is done. `handler` receives the key.
pub(crate) async fn drain<F>(project: &Project, kind: &'static str, slots: usize, handler: fn(String) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut workers = JoinSet::new();
    for _ in 0..slots {
        let project = project.clone();
        workers.spawn(async move {
            loop {
                let searched = project.clone();
                match blocking(move || search(&searched, kind)).await {
                    Search::Leased(task) => {
                        handler(task.key.clone()).await;
                        let completed = project.clone();
                        blocking(move || complete(&completed, &task)).await;
                    }
                    Search::Retry => sleep(PAUSE).await,
                    Search::Done => return,
                }
            }
        });
    }
    workers.join_all().await;
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("no panic")
}

fn search(project: &Project, kind: &str) -> Search {
    let now = second(TimeDelta::zero());
    let of_kind = [equal("env", "DEFAULT"), equal("type", kind), equal("doneAt", "")];
    let due = [
        compare("waitUntil", "LESS_THAN_OR_EQUAL", &now),
        compare("leasedUntil", "LESS_THAN_OR_EQUAL", &now),
    ];
    let first = query(
        &[&of_kind[..], &due[..]].concat(),
        &["leasedUntil", "waitUntil"],
        1,
    );
    transaction(project, |transaction| {
        let Some(found) = documents(project, transaction, &first)?.pop() else {
            let left = documents(project, transaction, &query(&of_kind, &[], 1))?;
            let result = if left.is_empty() {
                Search::Done
            } else {
                Search::Retry
            };
            return Some((Vec::new(), result));
        };
        let name = text(&found["name"]);
        let key = text(&found["fields"]["resourceKey"]["stringValue"]);
        let of_key = [
            equal("resourceKey", &key),
            compare("leasedUntil", "GREATER_THAN", &now),
        ];
        let leased = query(&[&of_kind[..], &of_key[..]].concat(), &[], 0);
        if !documents(project, transaction, &leased)?.is_empty() {
            return Some((Vec::new(), Search::Retry));
        }
        let task = read(project, transaction, &name)?;
        let fields = &task["fields"];
        let lease = text(&fields["leasedUntil"]["stringValue"]);
        if lease > now || !text(&fields["doneAt"]["stringValue"]).is_empty() {
            return Some((Vec::new(), Search::Retry));
        }
        let attempts: u64 = text(&fields["attempts"]["integerValue"]).parse().ok()?;
        let fields = json!({
            "leasedUntil": { "stringValue": second(LEASE) },
            "attempts": { "integerValue": (attempts + 1).to_string() },
        });
        Some((vec![update(&name, &fields)], Search::Leased(Task { name, key })))
    })
    .unwrap_or(Search::Retry)
}

/// Marks the task as done without checking the lease. An aborted transaction is repeated.
fn complete(project: &Project, task: &Task) {
    let done = || {
        transaction(project, |transaction| {
            read(project, transaction, &task.name)?;
            let fields = json!({
                "doneAt": { "stringValue": second(TimeDelta::zero()) },
                "leasedUntil": { "stringValue": "" },
                "result": { "nullValue": null },
            });
            Some((vec![update(&task.name, &fields)], ()))
        })
    };
    while done().is_none() {}
}

/// Runs a transaction and commits its writes. Returns `None` if it was aborted because of another transaction.
fn transaction<T>(project: &Project, work: impl FnOnce(&str) -> Option<(Vec<Value>, T)>) -> Option<T> {
    let begun = call(
        project,
        "beginTransaction",
        &json!({ "options": { "readWrite": {} } }),
    )?;
    let transaction = text(&begun["transaction"]);
    let worked = work(&transaction);
    let committed = worked.as_ref().is_some_and(|(writes, _)| {
        let body = json!({ "writes": writes, "transaction": transaction });
        !writes.is_empty() && call(project, "commit", &body).is_some()
    });
    if !committed {
        // Without a rollback the locks of the transaction remain for a minute.
        call(project, "rollback", &json!({ "transaction": transaction }));
    }
    worked
        .filter(|(writes, _)| committed || writes.is_empty())
        .map(|(_, done)| done)
}

fn documents(project: &Project, transaction: &str, query: &Value) -> Option<Vec<Value>> {
    let body = json!({ "structuredQuery": query, "transaction": transaction });
    let found = call(project, "runQuery", &body)?;
    let found = found.as_array().into_iter().flatten();
    Some(found.filter_map(|part| part.get("document").cloned()).collect())
}

fn read(project: &Project, transaction: &str, name: &str) -> Option<Value> {
    let body = json!({ "documents": [name], "transaction": transaction });
    call(project, "batchGet", &body)?[0].get("found").cloned()
}

/// Returns the response, or `None` if the transaction was aborted.
fn call(project: &Project, method: &str, body: &Value) -> Option<Value> {
    /// The HTTP statuses of ABORTED and of a request in an aborted transaction.
    const CONFLICTS: [u16; 2] = [409, 400];
    let (status, answer) = project.call(method, body);
    assert!(
        status == 200 || CONFLICTS.contains(&status),
        "{method}: {status} {answer}"
    );
    (status == 200).then_some(answer)
}

fn query(filters: &[Value], order: &[&str], limit: usize) -> Value {
    let order: Vec<_> = order
        .iter()
        .map(|field| json!({ "field": { "fieldPath": field }, "direction": "ASCENDING" }))
        .collect();
    let mut query = json!({
        "from": [{ "collectionId": "onceTasks" }],
        "where": { "compositeFilter": { "op": "AND", "filters": filters } },
        "orderBy": order,
    });
    if limit > 0 {
        query["limit"] = limit.into();
    }
    query
}

fn equal(field: &str, to: &str) -> Value {
    compare(field, "EQUAL", to)
}

fn compare(field: &str, operator: &str, to: &str) -> Value {
    let value = json!({ "stringValue": to });
    json!({ "fieldFilter": { "field": { "fieldPath": field }, "op": operator, "value": value } })
}

fn update(name: &str, fields: &Value) -> Value {
    let mask: Vec<_> = fields
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.keys())
        .collect();
    json!({ "update": { "name": name, "fields": fields }, "updateMask": { "fieldPaths": mask } })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns an instant in the format of the Go library: RFC 3339 in whole seconds.
fn second(from_now: TimeDelta) -> String {
    (Utc::now() + from_now).to_rfc3339_opts(SecondsFormat::Secs, true)
}
