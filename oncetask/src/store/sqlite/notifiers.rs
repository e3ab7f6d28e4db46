//! The notifiers of the environments that this process uses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::Notifier;

/// One notifier for each environment.
#[derive(Debug, Default)]
pub(super) struct Notifiers(Mutex<HashMap<String, Arc<Notifier>>>);

impl Notifiers {
    /// Returns the notifier of an environment.
    pub(super) fn of(&self, env: &str) -> Arc<Notifier> {
        let mut notifiers = self.lock();
        if let Some(notifier) = notifiers.get(env) {
            return notifier.clone();
        }
        notifiers.entry(env.to_owned()).or_default().clone()
    }

    /// Returns the environments that have subscribers, with their notifiers.
    pub(super) fn subscribed(&self) -> Vec<(String, Arc<Notifier>)> {
        let notifiers = self.lock();
        let subscribed = notifiers.iter().filter(|(_, notifier)| !notifier.is_idle());
        subscribed
            .map(|(env, notifier)| (env.clone(), notifier.clone()))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Notifier>>> {
        // A panic cannot leave the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
