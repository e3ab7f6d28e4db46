//! The fuzzed functions. Each takes bytes, so that the fuzzer and an ordinary test can call it.

#[path = "../../oncetask-macros/src/value/units.rs"]
mod units;

mod lifecycle;

use std::str;
use std::time::Duration;

use chrono::{DateTime, Utc};
use oncetask::schedule::{Missed, Recurrence, Zone};
use oncetask::store::__fuzz::{self, Value};
use oncetask::store::StoreUrl;
use oncetask::task::{IdBuilder, Task, TaskId};

/// Reads a row of the SQLite store, one column in each line, and exercises the task.
pub(crate) fn row(data: &[u8]) {
    if let Ok(task) = task(data) {
        lifecycle::exercise(&task);
    }
}

/// Reads the task in a row.
pub(crate) fn task(data: &[u8]) -> Result<Task, String> {
    __fuzz::row(data.split(|byte| *byte == b'\n').map(column).collect())
}

fn column(line: &[u8]) -> Value {
    let Some((shape, value)) = line.split_first() else {
        return Value::Null;
    };
    let text = || String::from_utf8_lossy(value).into_owned();
    match shape {
        b'i' => Value::Integer(text().parse().unwrap_or_default()),
        b'r' => Value::Real(text().parse().unwrap_or_default()),
        b't' => Value::Text(text()),
        b'b' => Value::Blob(value.to_vec()),
        _ => Value::Null,
    }
}

/// Reads a Firestore document in its wire form and exercises the task.
pub(crate) fn document(data: &[u8]) {
    if let Ok(task) = __fuzz::document(data) {
        lifecycle::exercise(&task);
    }
}

/// Parses a store URL. The text of a valid URL must parse to the same URL.
pub(crate) fn store_url(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match text.parse::<StoreUrl>() {
        Ok(url) => assert_eq!(url.to_string().parse::<StoreUrl>().ok(), Some(url)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Builds document names from two environments and two ids, and task ids from two pairs of fields. Different inputs
/// must give different names and ids.
pub(crate) fn id(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (envs, ids) = ([next(), next()], [next(), next()]);
    let name = |index: usize| __fuzz::name(envs[index], false, &TaskId::new(ids[index])).ok();
    let names = [name(0), name(1)];
    for name in names.iter().flatten() {
        assert_valid_name(name);
    }
    if envs.iter().all(|env| !env.is_empty()) && names[0].is_some() {
        assert_eq!(names[0] == names[1], (envs[0], ids[0]) == (envs[1], ids[1]));
    }
    if let Ok(shared) = __fuzz::name(envs[0], true, &TaskId::new(ids[0])) {
        assert_valid_name(&shared);
    }
    let (first, second) = ([next(), next()], [next(), next()]);
    let id = |[a, b]: [&str; 2]| {
        let id = IdBuilder::task().literal("k:").part_until(a, ':');
        id.literal(":").part(b).id()
    };
    assert_eq!(id(first) == id(second), first == second);
    assert!(!id(first).as_str().contains('/'));
}

/// Checks that Firestore accepts the name of a document.
fn assert_valid_name(name: &str) {
    let reserved = name.len() >= 4 && name.starts_with("__") && name.ends_with("__");
    assert!(
        !name.is_empty() && name.len() <= 1500 && !name.contains('/'),
        "{name}"
    );
    assert!(name != "." && name != ".." && !reserved, "{name}");
}

/// Reads a recurrence rule with its time zone, its start and its dates, one in each line, or a stored rule in JSON.
pub(crate) fn recurrence(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if text.starts_with('{') {
        if let Ok(stored) = serde_json::from_str::<Recurrence>(text) {
            check_rule(&stored);
        }
        return;
    }
    let mut lines = text.split('\n');
    let rule = Recurrence::new(lines.next().unwrap_or_default());
    let zone = lines.next().map(str::parse::<Zone>);
    let start = lines.next().map(str::parse::<chrono::NaiveDateTime>);
    let Ok(mut rule) = rule else { return };
    if let Some(Ok(zone)) = zone {
        rule = rule.tz(zone);
    }
    if let Some(Ok(start)) = start {
        rule = rule.starting_at(start);
    }
    for date in lines.filter_map(|date| date.parse::<DateTime<Utc>>().ok()) {
        rule = rule.rdate(date).exdate(date);
    }
    check_rule(&rule);
}

/// Checks that the occurrences of a valid rule are in order, and that the rule is stored and read without a change.
fn check_rule(rule: &Recurrence) {
    if rule.validate().is_err() {
        return;
    }
    for from in [
        "1970-01-01T00:00:00Z",
        "2026-11-01T05:30:00Z",
        "9999-12-31T23:59:59Z",
    ] {
        let from = from.parse::<DateTime<Utc>>().expect("a valid instant");
        let first: Vec<_> = rule.iter_after(from).take(20).collect();
        assert!(first.first().is_none_or(|at| *at > from));
        assert!(first.is_sorted_by(|earlier, later| earlier < later));
    }
    let stored = serde_json::to_string(&rule.clone().missed(Missed::Skip)).expect("a rule is serialised");
    let read = serde_json::from_str::<Recurrence>(&stored).expect("a stored rule is read");
    assert_eq!(read, rule.clone().missed(Missed::Skip));
}

/// Parses a duration of an attribute. The text of a valid duration must parse to the same duration.
pub(crate) fn duration(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match units::parse(text) {
        Ok(duration) => assert_eq!(units::parse(&units::show(duration)), Ok(duration)),
        Err(reason) => assert!(!reason.is_empty()),
    }
    let millis = data
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    assert!(!units::show(Duration::from_millis(millis)).is_empty());
}
