//! One notifier for each environment that this process looks at.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::Notifier;

#[derive(Debug, Default)]
pub(super) struct Notifiers(Mutex<HashMap<String, Arc<Notifier>>>);

impl Notifiers {
    /// The notifier of an environment.
    pub(super) fn of(&self, env: &str) -> Arc<Notifier> {
        let mut notifiers = self.lock();
        if let Some(notifier) = notifiers.get(env) {
            return notifier.clone();
        }
        notifiers.entry(env.to_owned()).or_default().clone()
    }

    /// Those that somebody listens to.
    pub(super) fn heard(&self) -> Vec<(String, Arc<Notifier>)> {
        let notifiers = self.lock();
        let heard = notifiers.iter().filter(|(_, notifier)| !notifier.is_idle());
        heard
            .map(|(env, notifier)| (env.clone(), notifier.clone()))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Notifier>>> {
        // The map is whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
