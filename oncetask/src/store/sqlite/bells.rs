//! One bell for each environment that this process looks at.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::Bell;

#[derive(Debug, Default)]
pub(super) struct Bells(Mutex<HashMap<String, Arc<Bell>>>);

impl Bells {
    /// The bell of an environment.
    pub(super) fn of(&self, env: &str) -> Arc<Bell> {
        let mut bells = self.lock();
        if let Some(bell) = bells.get(env) {
            return bell.clone();
        }
        bells.entry(env.to_owned()).or_default().clone()
    }

    /// Those that somebody listens to.
    pub(super) fn heard(&self) -> Vec<(String, Arc<Bell>)> {
        let bells = self.lock();
        let heard = bells.iter().filter(|(_, bell)| !bell.is_idle());
        heard.map(|(env, bell)| (env.clone(), bell.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Bell>>> {
        // The map is whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
