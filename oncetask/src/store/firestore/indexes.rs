//! Whether the file of indexes that we ship has one for every query.

use serde_json::Value;

use super::codec::{Marks, encode};
use super::queries::every_shape;
use super::query::Index;
use crate::task::{Json, Task, TaskSpec};

const FILE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/firestore/firestore.indexes.json"
));

/// The fields of each index of the file, and whether downwards.
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

/// Firestore's rule: the fields that are compared for equality come first, in any order, then those of the
/// order, in theirs, and nothing else.
fn serves(index: &[(String, bool)], needed: &Index) -> bool {
    let Some((equal, ordered)) = index.split_at_checked(needed.equal.len()) else {
        return false;
    };
    let mut equal: Vec<_> = equal.iter().map(|(field, _)| field.as_str()).collect();
    equal.sort_unstable();
    let ordered: Vec<_> = ordered
        .iter()
        .map(|(field, down)| (field.as_str(), *down))
        .collect();
    equal == needed.equal && ordered == needed.ordered
}

#[test]
fn every_query_has_its_index() {
    let indexes = indexes();
    for (name, query) in every_shape() {
        match query.required_index() {
            Some(needed) => assert!(
                indexes.iter().any(|index| serves(index, &needed)),
                "no index serves `{name}`: {needed:?}"
            ),
            None => assert_eq!(name, "anywhere", "the one query of one field"),
        }
    }
}

#[test]
fn no_index_is_there_for_nothing() {
    let needed: Vec<_> = every_shape()
        .iter()
        .filter_map(|(_, query)| query.required_index())
        .collect();
    for index in indexes() {
        assert!(
            needed.iter().any(|needed| serves(&index, needed)),
            "nothing needs {index:?}"
        );
    }
}

#[test]
fn every_field_but_the_one_that_is_asked_for_alone_is_exempt() {
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
            "`{field}` has an index of its own that nobody needs"
        );
    }
    assert!(!exempt.contains(&"id".to_owned()));
}

#[test]
fn the_command_names_the_index() {
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
