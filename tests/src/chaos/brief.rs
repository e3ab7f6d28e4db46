//! A run of a few seconds, for `cargo test`.

use std::process::Command;

/// Runs the program `chaos` with these arguments.
///
/// # Panics
///
/// When a promise was broken, or nothing went wrong that could have broken one.
pub fn brief(program: &str, arguments: &[&str]) {
    let run = Command::new(program)
        .args(arguments)
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{errors}");
    assert!(said.contains("workers killed"), "nothing went wrong: {said}");
}
