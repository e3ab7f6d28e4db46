//! Something that happens once, and for which anybody may wait.

use tokio::sync::SetOnce;

/// Unset at first, then set for good. To look at it costs one load, which every call of a handler does.
#[derive(Debug, Default)]
pub(super) struct Latch(SetOnce<()>);

impl Latch {
    pub(super) fn set(&self) {
        // It may be set already.
        let _ = self.0.set(());
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.initialized()
    }

    /// Returns when it is set. Dropping the future changes nothing.
    pub(super) async fn wait(&self) {
        self.0.wait().await;
    }
}
