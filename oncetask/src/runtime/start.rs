//! The start of a worker.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::builder::{WorkerBuilder, builder};
use super::complete::Completer;
use super::dispatch;
use super::engine::Engine;
use super::shutdown::{self, Worker};
use crate::client::Client;
use crate::error::{Error, StartError};
use crate::handler::Handler;
use crate::latch::Latch;
use crate::lease::Keeper;
use crate::panics;
use crate::registry::{self, TaskType};
use crate::schedule::{Recurrence, is_same_rule};
use crate::store::Action;
use crate::task::Task;
use crate::task::transition::Change;

/// The delay after the start before the kinds in the store are listed, because a worker that starts has more
/// urgent requests.
const KIND_CHECK_DELAY: Duration = Duration::from_secs(1);

/// Runs every task type of this program that has a handler, until SIGINT or SIGTERM, then shuts down
/// gracefully. The store is the one that `ONCETASK_STORE` names.
///
/// # Errors
///
/// Returns [`Error::Start`] with all problems of the task types, [`Error::Config`] if the configuration is
/// invalid, and [`Error::Store`] if the store cannot be opened.
///
/// # Cancel safety
///
/// Dropping the future stops the worker without grace. Its tasks can be claimed again when their leases
/// expire.
///
/// # Examples
///
/// ```no_run
/// #[tokio::main]
/// async fn main() -> Result<(), oncetask::Error> {
///     oncetask::run().await
/// }
/// ```
pub async fn run() -> Result<(), Error> {
    builder().run().await
}

impl WorkerBuilder {
    /// Starts the worker in the background and returns its handle, for a program that also does other work,
    /// and for tests.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Start`] with all problems of the task types, [`Error::Config`] if the configuration
    /// is invalid, and [`Error::Store`] if the store cannot be opened.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no worker runs. Tasks that are created at start-up may exist already.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// use oncetask::Client;
    ///
    /// let client = Client::in_memory();
    /// let worker = oncetask::builder().only(&[]).client(client.clone()).start().await?;
    /// // serve requests, create tasks with `client`
    /// worker.shutdown().await;
    /// # Ok(()) }
    /// ```
    pub async fn start(self) -> Result<Worker, Error> {
        self.check()?;
        let types = self.types();
        let Self {
            client,
            states,
            handlers,
            heartbeat,
            grace,
            spawner,
            ..
        } = self;
        let client = match client {
            Some(client) => client,
            None => Client::connect().await?,
        };
        let handlers = registry::handlers(&types, handlers);
        log_start(&client, &types, &handlers);
        let known = known_kinds(&handlers);
        create_generators(&client, &types).await?;
        panics::install_hook();
        let keeper = Keeper::start(client.clone(), &spawner).map_err(|error| StartError {
            problems: vec![format!("the thread that keeps leases cannot be started: {error}")],
        })?;
        let engine = Arc::new(Engine {
            completer: Completer::start(client.clone(), keeper.clone(), &spawner),
            client,
            states: Arc::new(states),
            handlers,
            owner: owner().into(),
            heartbeat,
            spawner,
            keeper,
            draining: Latch::default(),
            releasing: Latch::default(),
        });
        let dispatcher = engine.spawner.spawn(dispatch::dispatch(engine.clone()));
        engine.spawner.spawn(warn_of_unknown_kinds(engine.clone(), known));
        Ok(Worker {
            engine,
            dispatcher,
            grace,
        })
    }

    /// Runs the worker until SIGINT or SIGTERM, then shuts down gracefully: it stops claiming, lets handlers
    /// end within the [grace](Self::grace), drops the rest and releases their claims without counting the
    /// attempts. A second signal stops it at once.
    ///
    /// A store that becomes unavailable while the worker runs is not an error: the worker logs it and waits.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Start`] with all problems of the task types, [`Error::Config`] if the configuration
    /// is invalid, and [`Error::Store`] if the store cannot be opened.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the worker without grace. Its tasks can be claimed again when their leases
    /// expire.
    pub async fn run(self) -> Result<(), Error> {
        let signals = shutdown::Signals::listen()?;
        let worker = self.start().await?;
        shutdown::until_signalled(worker, signals).await;
        Ok(())
    }
}

/// Logs the store and the task types. A kind that is missing in this log belongs to a crate that is not
/// linked.
fn log_start(client: &Client, types: &[TaskType], handlers: &[Arc<Handler>]) {
    let (store, env) = (client.store().address(), client.store().env());
    tracing::info!(store, env, kinds = handlers.len(), "oncetask starts");
    for task in types {
        let handled = handlers.iter().any(|handler| handler.kind == task.kind());
        let location = task.location();
        tracing::info!(kind = task.kind(), ty = task.type_name(), %location, handled, "discovered a task type");
    }
    if handlers.is_empty() {
        tracing::warn!(
            "no task type with a handler is linked into this program, so this worker runs nothing; \
             `use the_crate as _;` links a crate that no code names"
        );
    }
}

/// Warns of kinds in the store that this program does not know.
async fn warn_of_unknown_kinds(engine: Arc<Engine>, known: HashSet<&'static str>) {
    let list = async {
        tokio::time::sleep(KIND_CHECK_DELAY).await;
        engine.client.kinds().await
    };
    let kinds = tokio::select! {
        biased;
        () = engine.draining.wait() => return,
        kinds = list => kinds,
    };
    match kinds {
        Ok(kinds) => {
            for kind in kinds.iter().filter(|kind| !known.contains(kind.as_str())) {
                tracing::warn!(%kind, "the store has tasks of a kind that this program does not know; it leaves them alone");
            }
        }
        Err(error) => tracing::warn!(%error, "the kinds in the store could not be listed"),
    }
}

/// Returns the kinds and aliases of this program: of all its task types, even if this worker runs only some of them, and
/// of the handlers that were added.
fn known_kinds(handlers: &[Arc<Handler>]) -> HashSet<&'static str> {
    let names = |task: &TaskType| std::iter::once(task.kind()).chain(task.aliases().iter().copied());
    let discovered = TaskType::discovered().flat_map(names);
    discovered
        .chain(handlers.iter().flat_map(|handler| handler.kinds()))
        .collect()
}

/// Creates the generators that exist from the start, and updates the rules of stored ones.
///
/// The rule in the code of the worker that started last wins. It is applied once, at the start, so that
/// workers of two versions that run at the same time do not keep replacing each other's rule.
async fn create_generators(client: &Client, types: &[TaskType]) -> Result<(), Error> {
    for draft in types.iter().filter_map(TaskType::draft_at_start) {
        let draft = draft?;
        let rule = draft.rule().cloned();
        let enqueued = client.create_draft(draft).await?;
        if let (false, Some(rule)) = (enqueued.is_new, rule) {
            replace_rule(client, &enqueued.task, &rule).await?;
        }
    }
    Ok(())
}

async fn replace_rule(client: &Client, stored: &Task, rule: &Recurrence) -> Result<(), Error> {
    let Some(old) = stored
        .spec
        .recurrence
        .as_ref()
        .filter(|old| !is_same_rule(rule, old))
    else {
        return Ok(());
    };
    let now = client.clock().now();
    let rule = rule.anchored_at(now);
    let Some(next) = rule.after(now) else {
        tracing::warn!(
            id = %stored.id(), old = %old, new = %rule,
            "rule not replaced, because the rule in the code never occurs again; the generator keeps the stored rule"
        );
        return Ok(());
    };
    let (id, new) = (stored.id().clone(), rule.to_string());
    let changes = client
        .store()
        .change(vec![id.clone()], Action::ReplaceRule { rule, next }, now)
        .await?;
    if changes.contains(&Change::Applied) {
        tracing::info!(%id, old = %old, new, %next, "rule replaced by the rule in the code");
    } else {
        tracing::info!(%id, old = %old, new, "rule not replaced, because the generator has ended; reset it first");
    }
    Ok(())
}

/// Returns the worker's name in its leases: the host, the process id and a random number.
fn owner() -> String {
    let host = std::env::var("HOSTNAME").ok().or_else(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(name.trim().to_owned())
    });
    let host = host.unwrap_or_else(|| "worker".to_owned());
    format!("{host}:{}:{:04x}", std::process::id(), fastrand::u16(..))
}
