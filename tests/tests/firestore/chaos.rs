//! A short episode of chaos, with an emulator of its own.

use std::process::Command;

crate::tests! {
    a_few_seconds_of_chaos_break_no_promise,
}

async fn a_few_seconds_of_chaos_break_no_promise() {
    let run = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["--store", "firestore", "--minutes", "0.35", "--per-second", "1"])
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{errors}");
    assert!(said.contains("workers killed"), "nothing went wrong: {said}");
}
