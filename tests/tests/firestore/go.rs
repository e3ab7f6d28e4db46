//! A worker that does to documents what the Go library does, request by request. In one transaction it looks
//! for the first task that is due, asks who holds its key, reads it again and leases it; in another one it
//! ends it, without asking whether it still holds it.

use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use crate::world::Project;

const LEASE: TimeDelta = TimeDelta::minutes(10);
/// How long a slot waits when it got nothing. The library waits for a minute; a test has not the time.
const AGAIN: Duration = Duration::from_millis(100);

/// A task that is leased.
struct Task {
    name: String,
    key: String,
}

enum Look {
    Leased(Task),
    /// Its key is held, or the transaction did not come through.
    Again,
    /// No task is left that is not done.
    Nothing,
}

/// Runs tasks of a kind in so many slots until none is left. `handler` gets the key.
pub(crate) async fn drain<F>(project: &Project, kind: &'static str, slots: usize, handler: fn(String) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut workers = JoinSet::new();
    for _ in 0..slots {
        let project = project.clone();
        workers.spawn(async move {
            loop {
                let place = project.clone();
                match blocking(move || look(&place, kind)).await {
                    Look::Leased(task) => {
                        handler(task.key.clone()).await;
                        let place = project.clone();
                        blocking(move || complete(&place, &task)).await;
                    }
                    Look::Again => sleep(AGAIN).await,
                    Look::Nothing => return,
                }
            }
        });
    }
    workers.join_all().await;
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("no panic")
}

fn look(project: &Project, kind: &str) -> Look {
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
            let is_over = left.is_empty();
            return Some((Vec::new(), if is_over { Look::Nothing } else { Look::Again }));
        };
        let name = text(&found["name"]);
        let key = text(&found["fields"]["resourceKey"]["stringValue"]);
        let of_key = [
            equal("resourceKey", &key),
            compare("leasedUntil", "GREATER_THAN", &now),
        ];
        let held = query(&[&of_kind[..], &of_key[..]].concat(), &[], 0);
        if !documents(project, transaction, &held)?.is_empty() {
            return Some((Vec::new(), Look::Again));
        }
        let task = read(project, transaction, &name)?;
        let fields = &task["fields"];
        let lease = text(&fields["leasedUntil"]["stringValue"]);
        if lease > now || !text(&fields["doneAt"]["stringValue"]).is_empty() {
            return Some((Vec::new(), Look::Again));
        }
        let attempts: u64 = text(&fields["attempts"]["integerValue"]).parse().ok()?;
        let fields = json!({
            "leasedUntil": { "stringValue": second(LEASE) },
            "attempts": { "integerValue": (attempts + 1).to_string() },
        });
        Some((vec![update(&name, &fields)], Look::Leased(Task { name, key })))
    })
    .unwrap_or(Look::Again)
}

/// Says that it is done, whatever anybody did to it meanwhile.
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

/// Does what is to be done in a transaction, and commits its writes. `None` if another one was in the way.
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
        // Its locks would be held for a minute.
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

/// The answer, or nothing if locks were in the way.
fn call(project: &Project, method: &str, body: &Value) -> Option<Value> {
    /// ABORTED, and what an aborted transaction is called by those who go on with it.
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

/// An instant as Go spells it: in whole seconds.
fn second(from_now: TimeDelta) -> String {
    (Utc::now() + from_now).to_rfc3339_opts(SecondsFormat::Secs, true)
}
