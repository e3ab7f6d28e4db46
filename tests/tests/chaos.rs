//! A short episode of chaos on a SQLite file. `tests/firestore` has one on Firestore; the program `chaos`
//! runs as many as are wanted.

use std::process::Command;

#[test]
fn a_few_seconds_of_chaos_break_no_promise() {
    let run = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["--store", "sqlite", "--minutes", "0.25"])
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{errors}");
    assert!(said.contains("workers killed"), "nothing went wrong: {said}");
}
