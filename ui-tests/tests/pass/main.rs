//! What must compile, under the strictest lints a user may have; and what it then says.
#![forbid(unsafe_code)]
#![deny(missing_docs, warnings, unused_qualifications, clippy::all, clippy::pedantic)]
#![allow(clippy::unused_async, reason = "handlers that do nothing are enough here")]

mod handlers;
mod hygiene;
mod ids;
mod names;
mod locations;
mod schedules;
mod shapes;

use oncetask::TaskType;

/// The only discovered type of this kind.
fn discovered(kind: &str) -> TaskType {
    let found: Vec<_> = TaskType::discovered()
        .filter(|task| task.kind() == kind)
        .collect();
    let [task] = found[..] else {
        panic!("{} types of the kind `{kind}`", found.len());
    };
    *task
}

#[test]
fn nothing_is_wrong_with_the_task_types_of_this_program() {
    oncetask::builder().state(String::new()).check().unwrap();
}
