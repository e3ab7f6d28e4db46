//! The state that all parts of one worker share.

use std::sync::Arc;
use std::time::Duration;

use super::complete::Completer;
use crate::client::Client;
use crate::handler::{Handler, States};
use crate::latch::Latch;
use crate::lease::Keeper;
use crate::spawn::Spawner;

/// One running worker.
pub(super) struct Engine {
    pub(super) client: Client,
    pub(super) states: Arc<States>,
    pub(super) handlers: Vec<Arc<Handler>>,
    /// The worker's name in its leases.
    pub(super) owner: Arc<str>,
    /// The length of a stored lease, unless the store is slow.
    pub(super) heartbeat: Duration,
    pub(super) spawner: Spawner,
    pub(super) keeper: Keeper,
    pub(super) completer: Completer,
    /// Set when the worker stops claiming.
    pub(super) draining: Latch,
    /// Set when the grace has ended: the handlers that still run are dropped and their claims released.
    pub(super) releasing: Latch,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.keeper.close();
    }
}
