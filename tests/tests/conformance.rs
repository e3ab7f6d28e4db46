//! The conformance suite on the memory store and the SQLite store: a test for each case, such as `memory::claim::…`.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use oncetask::store::{MemoryStore, SqliteStore, Store};
use tempfile::TempDir;
use tests::conformance::{Case, Harness, Opening, cases};
use tokio::runtime;

struct Memory(MemoryStore);

impl Harness for Memory {
    fn open<'a>(&'a self, env: &'a str) -> Opening<'a> {
        Box::pin(async move { Arc::new(self.0.in_env(env)) as Arc<dyn Store> })
    }
}

fn memory() -> Memory {
    Memory(MemoryStore::new("unused"))
}

/// A database file of one test. Every handle opens it anew.
struct Sqlite(TempDir);

impl Harness for Sqlite {
    fn open<'a>(&'a self, env: &'a str) -> Opening<'a> {
        let file = self.0.path().join("tasks.db");
        Box::pin(async move {
            let store = SqliteStore::open(file, env).await.expect("the store opens");
            Arc::new(store) as Arc<dyn Store>
        })
    }
}

fn sqlite() -> Sqlite {
    Sqlite(tempfile::tempdir().expect("a temporary directory"))
}

fn main() -> ExitCode {
    let trials = trials_on("memory", memory)
        .chain(trials_on("sqlite", sqlite))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Returns one test for each case on a store.
fn trials_on<H: Harness>(store: &'static str, new_store: fn() -> H) -> impl Iterator<Item = Trial> {
    let trial = move |case: Case| {
        Trial::test(format!("{store}::{}", case.name()), move || {
            run(case, new_store());
            Ok(())
        })
    };
    cases().into_iter().map(trial)
}

/// Runs a case as a task of a runtime of its own, so that its panic fails the test.
fn run(case: Case, harness: impl Harness) {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("the runtime starts");
    runtime
        .block_on(async { tokio::spawn(async move { case.run(harness).await }).await })
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
}
