//! A short chaos run on a SQLite file. `tests/firestore` has one on Firestore. The program `chaos` makes longer ones.

#[test]
fn a_few_seconds_of_chaos_break_no_promise() {
    let arguments = ["--store", "sqlite", "--minutes", "0.25"];
    tests::chaos::short_run(env!("CARGO_BIN_EXE_chaos"), &arguments);
}
