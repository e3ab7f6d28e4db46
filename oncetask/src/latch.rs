//! A flag that is set once and can be waited for.

use tokio::sync::SetOnce;

/// A flag that is unset at first and stays set once it is set. Reading it costs one atomic load, because
/// every call of a handler does so.
#[derive(Debug, Default)]
pub(crate) struct Latch(SetOnce<()>);

impl Latch {
    /// Sets the latch. Setting it twice has no further effect.
    pub(crate) fn set(&self) {
        // The error means that it was set before.
        let _ = self.0.set(());
    }

    /// Returns whether the latch is set.
    pub(crate) fn is_set(&self) -> bool {
        self.0.initialized()
    }

    /// Waits until the latch is set. Dropping the future has no effect.
    pub(crate) async fn wait(&self) {
        self.0.wait().await;
    }
}
