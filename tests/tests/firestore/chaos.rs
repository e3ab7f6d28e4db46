//! A short chaos run on the Firestore store, with an emulator of its own.

crate::tests! {
    a_few_seconds_of_chaos_break_no_promise,
}

async fn a_few_seconds_of_chaos_break_no_promise() {
    let arguments = ["--store", "firestore", "--minutes", "0.35", "--per-second", "1"];
    tests::chaos::short_run(env!("CARGO_BIN_EXE_chaos"), &arguments);
}
