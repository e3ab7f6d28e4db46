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

pub(crate) async fn run(options: &Options) -> Result {
    if options.store == "firestore" && options.place.is_none() {
        drain::warm_up(options).await?;
    }
    match options.case.as_str() {
        "create" => create::one_by_one(options).await,
        "create_many" => create::all(options).await,
        "drain" => drain::drain(options).await,
        "drain-worker" => drain::drain_worker(options).await,
        "latency" => latency::latency(options).await,
        "latency-worker" => latency::worker(options).await,
        "idle" => idle::idle(options).await,
        "idle-worker" => idle::worker(options).await,
        "overhead" => overhead::overhead(options).await,
        "list" => list::list(options).await,
        "recovery" => recovery::recovery(options).await,
        "recovery-worker" => recovery::worker(options).await,
        "macros" => macros::macros(options),
        "recurrence" => recurrence::recurrence(options),
        "grow" => grow::grow(options).await,
        other => Err(format!("there is no case `{other}`; there are {CASES}").into()),
    }
}
