//! The beginning of a worker.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::builder::WorkerBuilder;
use super::complete::Completer;
use super::dispatch;
use super::latch::Latch;
use super::lease::Keeper;
use super::panics;
use super::shutdown::Worker;
use crate::client::Client;
use crate::error::{Error, StartError};
use crate::registry::{self, Runnable, TaskType};
use crate::schedule::is_same_rule;
use crate::store::Action;
use crate::task::Task;
use crate::task::transition::Change;

/// How long after its start a worker looks around.
const SETTLED: Duration = Duration::from_secs(1);

pub(super) async fn start(builder: WorkerBuilder) -> Result<Worker, Error> {
    builder.check()?;
    let types = builder.types();
    let WorkerBuilder {
        client,
        states,
        handlers,
        heartbeat,
        grace,
        drive,
        ..
    } = builder;
    let client = match client {
        Some(client) => client,
        None => Client::connect().await?,
    };
    let runnables = registry::runnables(&types, handlers);
    announce(&client, &types, &runnables);
    let known = known_kinds(&types, &runnables);
    ensure_generators(&client, &types).await?;
    panics::watch();
    let keeper = Keeper::start(client.clone(), &drive).map_err(|error| StartError {
        problems: vec![format!("the thread that keeps leases cannot be started: {error}")],
    })?;
    let engine = Arc::new(Engine {
        completer: Completer::start(client.clone(), keeper.clone(), &drive),
        client,
        states: Arc::new(states),
        runnables,
        owner: owner().into(),
        heartbeat,
        drive,
        keeper,
        draining: Latch::default(),
        giving_back: Latch::default(),
    });
    let dispatcher = engine.drive.spawn(dispatch::dispatch(engine.clone()));
    engine.drive.spawn(warn_of_strangers(engine.clone(), known));
    Ok(Worker {
        engine,
        dispatcher,
        grace,
    })
}

/// Says what this worker found: whoever misses a kind here has not linked the crate that defines it.
fn announce(client: &Client, types: &[TaskType], runnables: &[Runnable]) {
    let (store, env) = (client.store().address(), client.store().env());
    tracing::info!(store, env, kinds = runnables.len(), "oncetask starts");
    for task in types {
        let handled = runnables.iter().any(|runnable| runnable.kind == task.kind());
        let location = task.location();
        tracing::info!(kind = task.kind(), ty = task.type_name(), %location, handled, "discovered a task type");
    }
    if runnables.is_empty() {
        tracing::warn!(
            "there is nothing to run: no task type with a handler is linked into this program; \
             `use the_crate as _;` links a crate that nothing else names"
        );
    }
}

/// Warns of kinds in the store that nobody here knows. A worker that starts has more urgent things to ask.
async fn warn_of_strangers(engine: Arc<Engine>, known: HashSet<&'static str>) {
    let look = async {
        tokio::time::sleep(SETTLED).await;
        engine.client.kinds().await
    };
    let kinds = tokio::select! {
        biased;
        () = engine.draining.wait() => return,
        kinds = look => kinds,
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

fn known_kinds(types: &[TaskType], runnables: &[Runnable]) -> HashSet<&'static str> {
    let names = |task: &TaskType| std::iter::once(task.kind()).chain(task.aliases().iter().copied());
    let handled = runnables.iter().map(|runnable| runnable.kind);
    types.iter().flat_map(names).chain(handled).collect()
}

/// Creates the generators that are to exist from the start, and brings stored ones up to date.
///
/// The rule in the code of the worker that started last is the one that is followed: it is applied once, at
/// the start, so that workers of two versions that run side by side do not fight.
async fn ensure_generators(client: &Client, types: &[TaskType]) -> Result<(), Error> {
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

async fn replace_rule(client: &Client, stored: &Task, rule: &crate::Recurrence) -> Result<(), Error> {
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
        tracing::warn!(id = %stored.id(), old = %old, new = %rule, "the new rule never occurs again: the old one stays");
        return Ok(());
    };
    let (id, new) = (stored.id().clone(), rule.to_string());
    let changes = client
        .store()
        .change(vec![id.clone()], Action::ReplaceRule { rule, next }, now)
        .await?;
    if changes.contains(&Change::Applied) {
        tracing::info!(%id, old = %old, new, %next, "the generator follows the rule in the code");
    } else {
        tracing::info!(%id, old = %old, new, "the generator has ended: it keeps its rule until it is reset");
    }
    Ok(())
}

/// The worker's name in its leases: for people who look, and different from every other.
fn owner() -> String {
    let host = std::env::var("HOSTNAME").ok().or_else(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(name.trim().to_owned())
    });
    let host = host.unwrap_or_else(|| "worker".to_owned());
    format!("{host}:{}:{:04x}", std::process::id(), fastrand::u16(..))
}
