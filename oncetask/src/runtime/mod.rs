//! Runtime.
use crate::error::{Error, StartError};
use crate::handler::{Handler, States};
use crate::registry::{self, TaskType};

/// Held.
#[derive(Debug)]
pub(crate) struct Held;
impl Held {
    pub(crate) fn say(&self, _f: f64, _m: String) {}
}

/// Runs.
/// # Errors
/// On start.
pub async fn run() -> Result<(), Error> {
    builder().run().await
}

/// Builder.
#[must_use]
pub fn builder() -> Builder {
    Builder {
        states: States::default(),
        handlers: Vec::new(),
    }
}

/// Builder.
#[must_use = "call `.run()`"]
pub struct Builder {
    states: States,
    handlers: Vec<Handler>,
}

impl Builder {
    /// Adds a handler of a task type that has none of its own in this program.
    pub fn handler(mut self, handler: Handler) -> Self {
        self.handlers.push(handler);
        self
    }
    /// Gives handlers a state: each takes it as `State<S>`.
    pub fn state<S: Clone + Send + Sync + 'static>(mut self, state: S) -> Self {
        self.states.insert(state);
        self
    }
    /// Checks.
    /// # Errors
    /// When.
    pub fn check(&self) -> Result<(), StartError> {
        registry::check(
            &TaskType::discovered().copied().collect::<Vec<_>>(),
            &self.handlers,
            &self.states,
        )
    }
    /// Runs.
    /// # Errors
    /// When.
    pub async fn run(self) -> Result<(), Error> {
        self.check()?;
        Ok(())
    }
}
