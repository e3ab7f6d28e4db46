//! Tests that the shipped file of indexes has an index for every query.

use serde_json::Value;

use super::codec::{Marks, encode};
use super::queries::every_shape;
use super::query::Index;
use crate::task::{Json, Task, TaskSpec};

const FILE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/docs/firestore/firestore.indexes.json"
));

/// Returns the fields of each index in the file, and whether each field is descending.
fn indexes() -> Vec<Vec<(String, bool)>> {
    let file: Value = serde_json::from_str(FILE).expect("JSON");
    let fields = |index: &Value| {
        assert_eq!(index["collectionGroup"], "onceTasks");
        assert_eq!(index["queryScope"], "COLLECTION");
        let fields = index["fields"].as_array().expect("fields").iter();
        fields
            .map(|field| (string(&field["fieldPath"]), field["order"] == "DESCENDING"))
            .collect()
    };
    file["indexes"]
        .as_array()
        .expect("indexes")
        .iter()
        .map(fields)
        .collect()
}

/// Returns the fields that the file exempts from automatic indexes.
fn exemptions() -> Vec<String> {
    let file: Value = serde_json::from_str(FILE).expect("JSON");
    let overrides = file["fieldOverrides"].as_array().expect("exemptions").iter();
    overrides
        .inspect(|exempt| assert_eq!(exempt["indexes"], Value::Array(Vec::new())))
        .map(|exempt| string(&exempt["fieldPath"]))
        .collect()
}

fn string(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// Returns whether an index serves a query, by Firestore's rule: the fields that are compared for equality come
/// first, in any order; then the fields of the query's order, in that order; and no other fields.
fn serves(index: &[(String, bool)], needed: &Index) -> bool {
    let Some((equal, ordered)) = index.split_at_checked(needed.equal.len()) else {
        return false;
    };
    let mut equal: Vec<_> = equal.iter().map(|(field, _)| field.as_str()).collect();
    equal.sort_unstable();
    let ordered: Vec<_> = ordered
        .iter()
        .map(|(field, is_descending)| (field.as_str(), *is_descending))
        .collect();
    equal == needed.equal && ordered == needed.ordered
}

#[test]
fn every_query_has_an_index() {
    let indexes = indexes();
    for (name, query) in every_shape() {
        match query.required_index() {
            Some(needed) => assert!(
                indexes.iter().any(|index| serves(index, &needed)),
                "no index serves `{name}`: {needed:?}"
            ),
            None => assert_eq!(name, "by_ids", "the only query with one field"),
        }
    }
}

#[test]
fn every_index_serves_a_query() {
    let needed: Vec<_> = every_shape()
        .iter()
        .filter_map(|(_, query)| query.required_index())
        .collect();
    for index in indexes() {
        assert!(
            needed.iter().any(|needed| serves(&index, needed)),
            "no query needs {index:?}"
        );
    }
}

#[test]
fn every_field_but_the_id_is_exempt_from_automatic_indexes() {
    let spec = TaskSpec {
        id: "a".into(),
        kind: "K".into(),
        payload: Json::parse("[[1]]").expect("JSON"),
        resource_key: None,
        created_at: chrono::DateTime::UNIX_EPOCH,
        recurrence: None,
        occurrence: None,
    };
    let task = Task::new(spec, chrono::DateTime::UNIX_EPOCH);
    let exempt = exemptions();
    for field in encode(&task, "E", &Marks::default())
        .into_keys()
        .filter(|field| field != "id")
    {
        assert!(
            exempt.contains(&field),
            "`{field}` has an automatic index that no query needs"
        );
    }
    assert!(!exempt.contains(&"id".to_owned()));
}

#[test]
fn the_command_creates_the_index() {
    let (_, query) = every_shape().swap_remove(0);
    let command = query
        .required_index()
        .expect("an index")
        .command("onceTasks", "p", "(default)");
    assert!(command.starts_with("gcloud firestore indexes composite create --project=p"));
    assert!(command.contains("--collection-group=onceTasks"));
    assert!(
        command.ends_with("field-path=leasedUntil,order=ascending"),
        "{command}"
    );
}
