//! Compile-pass tests: valid task types, compiled with the strictest lints that a user may have, and their values.
#![forbid(unsafe_code)]
#![deny(missing_docs, warnings, unused_qualifications, clippy::all, clippy::pedantic)]
#![allow(clippy::unused_async, reason = "handlers that do nothing are enough here")]

mod handlers;
mod hygiene;
mod ids;
mod locations;
mod names;
mod schedules;
mod shapes;

use oncetask::TaskType;

/// Returns the only discovered type of this kind.
fn discovered(kind: &str) -> TaskType {
    let found: Vec<_> = TaskType::discovered()
        .filter(|task| task.kind() == kind)
        .collect();
    let [task] = found[..] else {
        panic!("{} types have the kind `{kind}`", found.len());
    };
    *task
}

#[test]
fn the_task_types_of_this_program_are_valid() {
    oncetask::builder().state(String::new()).check().unwrap();
}
