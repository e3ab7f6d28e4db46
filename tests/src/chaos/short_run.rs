//! A run of a few seconds, for `cargo test`.

use std::process::Command;

/// Runs the program `chaos` with these arguments.
///
/// # Panics
///
/// Panics if the run finds a violation, or if no worker was killed.
pub fn short_run(program: &str, arguments: &[&str]) {
    let run = Command::new(program)
        .args(arguments)
        .output()
        .expect("the program runs");
    let output = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{output}\n{errors}");
    assert!(output.contains("workers killed"), "no fault occurred: {output}");
}
