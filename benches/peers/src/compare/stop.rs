//! Stops the comparison on Ctrl-C and `kill`, so that the PostgreSQL server does not outlive it.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::Result;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Starts to listen for signals.
pub(crate) fn listen() -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        REQUESTED.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// Returns whether a signal has requested the end of the comparison.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
