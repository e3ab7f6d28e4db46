//! Messages from handlers to their test, and a gate at which handlers wait for their test.

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

use super::wait::within;

/// Returns a channel from handlers to their test.
#[must_use]
pub fn reports<T>() -> (Reporter<T>, Reports<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Reporter(sender), Reports(receiver))
}

/// The handlers' end of the channel of [`reports`].
#[derive(Debug)]
pub struct Reporter<T>(UnboundedSender<T>);

impl<T> Clone for Reporter<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Reporter<T> {
    /// Sends a report. A report after the end of the test is lost.
    pub fn report(&self, report: T) {
        let _ = self.0.send(report);
    }
}

/// The test's end of the channel of [`reports`].
#[derive(Debug)]
pub struct Reports<T>(UnboundedReceiver<T>);

impl<T> Reports<T> {
    /// Waits for the next report.
    ///
    /// # Panics
    ///
    /// Panics if no report arrives in time.
    pub async fn next(&mut self) -> T {
        within(self.0.recv()).await.expect("a handler reports")
    }

    /// Returns the reports that have arrived and were not read yet.
    pub fn drain(&mut self) -> Vec<T> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

/// Reports `dropped` when it is dropped.
#[derive(Debug)]
pub struct DropReporter(pub Reporter<&'static str>);

impl Drop for DropReporter {
    fn drop(&mut self) {
        self.0.report("dropped");
    }
}

/// A gate at which handlers wait until their test opens it.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// Returns a closed gate.
    #[must_use]
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Opens the gate for good.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until the gate is open.
    #[expect(clippy::missing_panics_doc, reason = "this end of the gate outlives the wait")]
    pub async fn opened(&self) {
        let mut gate = self.0.subscribe();
        let opened = gate.wait_for(|open| *open).await;
        opened.expect("this end of the gate outlives the wait");
    }
}
