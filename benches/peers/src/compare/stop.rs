//! Ctrl-C and `kill`: the server must not outlive the comparison.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::Result;

static TOLD: AtomicBool = AtomicBool::new(false);

/// Listens from now on.
pub(crate) fn watch() -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _within = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        TOLD.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// Whether somebody wants it to end.
pub(crate) fn told() -> bool {
    TOLD.load(Ordering::Relaxed)
}
