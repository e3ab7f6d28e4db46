//! What the tests are set in: an emulator for all of them, and a project for each.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use oncetask::store::{FirestoreOptions, FirestoreStore};
use tests::emulator::Emulator;
use tokio::runtime;

static EMULATOR: Mutex<Option<Emulator>> = Mutex::new(None);

/// The emulator's address.
pub(crate) fn emulator() -> String {
    let mut emulator = EMULATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let emulator = emulator.get_or_insert_with(|| Emulator::find().expect("an emulator"));
    emulator.host().to_owned()
}

pub(crate) fn stop_emulator() {
    drop(EMULATOR.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// A project that no other test knows: a query of the emulator costs what all documents of a collection cost.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) host: String,
}

impl Project {
    pub(crate) fn new() -> Self {
        Self::on(emulator())
    }

    pub(crate) fn on(host: impl Into<String>) -> Self {
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        Self {
            id: format!("test-{random:016x}"),
            host: host.into(),
        }
    }

    pub(crate) fn options(&self) -> FirestoreOptions {
        FirestoreStore::builder(&self.id).emulator(&self.host)
    }
}

/// Runs a test on a runtime of its own.
pub(crate) fn block_on(test: impl Future<Output = ()> + Send + 'static) {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime can be started");
    runtime
        .block_on(async { tokio::spawn(test).await })
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
}
