//! The cases: one file each.

mod create;
mod drain;
mod grow;
mod idle;
mod latency;
mod list;
mod macros;
mod overhead;
mod recovery;
mod recurrence;

use crate::options::{CASES, Options};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Runs the case that the options name. The cases `*-worker` run in processes that other cases start.
pub(crate) async fn run(options: &Options) -> Result {
    if options.store == "firestore" && options.location.is_none() {
        drain::warm_up(options).await?;
    }
    match options.case.as_str() {
        "create" => create::one_by_one(options).await,
        // The first name is that of the peers' case, the second one that of the client's method.
        "create_all" | "create_many" => create::in_bulk(options).await,
        "drain" => drain::drain(options).await,
        "drain-worker" => drain::worker_process(options).await,
        "latency" => latency::latency(options).await,
        "latency-worker" => latency::worker_process(options).await,
        "idle" => idle::idle(options).await,
        "idle-worker" => idle::worker_process(options).await,
        "overhead" => overhead::overhead(options).await,
        "list" => list::list(options).await,
        "recovery" => recovery::recovery(options).await,
        "recovery-worker" => recovery::worker_process(options).await,
        "macros" => macros::macros(options),
        "recurrence" => recurrence::recurrence(options),
        "grow" => grow::grow(options).await,
        other => Err(format!("unknown case `{other}`; the cases are {CASES}").into()),
    }
}
