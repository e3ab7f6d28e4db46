//! The effect of a store's size on its speed: finished tasks, waiting tasks of another kind, many resource
//! keys.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::store::{ClaimRequest, Demand, Query};
use oncetask::{Client, Filter, OnceTask};
use serde::{Deserialize, Serialize};

use super::Result;
use super::create::{TASKS_PER_CALL, create_noops};
use super::drain::run_all;
use crate::options::Options;
use crate::report::{Line, ProcessUsage};
use crate::scratch_store::ScratchStore;

/// The concurrency of the worker that finishes tasks.
const CONCURRENCY: usize = 100;
/// The number of tasks that a measured call creates, claims or lists.
const PROBES_PER_CALL: usize = 100;
/// The number of measured calls of each kind, of which the median is printed.
const RUNS: usize = 401;
const RESOURCE_KEYS: usize = 10_000;
/// The number of waiting tasks of another kind.
const OTHER_TASKS: usize = 100_000;

/// The task that the measured calls create and claim.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("probe:{name}")]
struct Probe {
    name: String,
    #[resource_key]
    key: Option<String>,
    #[run_at]
    at: Option<DateTime<Utc>>,
}

/// A due task of another kind, for which there is no worker.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("other:{number}")]
struct Other {
    number: usize,
}

/// The names of the measured calls, in the order of [`Probes::run_once`].
const NAMES: [&str; 5] = ["create", "claim", "create with keys", "claim with keys", "list"];

/// The probes of one store.
struct Probes<'a> {
    client: &'a Client,
    created: usize,
}

/// Measures creates, claims and pages in a store that grows, alternately with a store that contains only
/// probes.
pub(crate) async fn grow(options: &Options) -> Result {
    let store = ScratchStore::new(options)?;
    let client = store.client().await?;
    let mut probes = Probes::new(&client);
    let mut finished = 0;
    for wanted in [100_000, 1_000_000] {
        create_noops(&client, finished..wanted).await?;
        run_all(&client, CONCURRENCY, wanted - finished).await?;
        finished = wanted;
        probes.measure(options, &format!("{wanted} finished")).await?;
    }
    for first in (0..OTHER_TASKS).step_by(TASKS_PER_CALL) {
        let tasks = (first..first + TASKS_PER_CALL).map(|number| Other { number });
        client.create_many(tasks).await?;
    }
    let note = format!("{finished} finished, {OTHER_TASKS} of another kind wait");
    probes.measure(options, &note).await?;
    probes.add_keys().await?;
    let note = format!("the same, {RESOURCE_KEYS} keys of which half have an active claim");
    probes.measure(options, &note).await
}

impl<'a> Probes<'a> {
    fn new(client: &'a Client) -> Self {
        Self { client, created: 0 }
    }

    /// Prints the median of each measured call and its ratio to that of a new store. The calls alternate
    /// between the two stores, so that other programs on the machine slow both down.
    async fn measure(&mut self, options: &Options, note: &str) -> Result {
        let empty_store = ScratchStore::new(options)?;
        let empty_client = empty_store.client().await?;
        let mut empty_probes = Probes::new(&empty_client);
        let mut times = NAMES.map(|_| (Vec::new(), Vec::new()));
        let before = ProcessUsage::of_this_process();
        for _ in 0..RUNS {
            let grown = self.run_once().await?;
            let empty = empty_probes.run_once().await?;
            for (times, (grown, empty)) in times.iter_mut().zip(grown.into_iter().zip(empty)) {
                times.0.push(grown);
                times.1.push(empty);
            }
        }
        let after = ProcessUsage::of_this_process();
        for (name, (grown, empty)) in NAMES.into_iter().zip(times) {
            // The processor time is the total of all calls in both stores.
            let mut line = Line::new(&options.store, "grow", PROBES_PER_CALL)
                .percentiles(grown)
                .compared_with_empty(empty)
                .process_usage(before, after);
            line.note = Some(format!("{name}: {note}"));
            line.print()?;
        }
        Ok(())
    }

    /// Makes each measured call once and returns their durations.
    async fn run_once(&mut self) -> Result<[Duration; NAMES.len()]> {
        let (create, claim) = self.create_and_claim("plain", false).await?;
        let (create_keys, claim_keys) = self.create_and_claim("keyed", true).await?;
        let page = self.list_page().await?;
        Ok([create, claim, create_keys, claim_keys, page])
    }

    /// Creates probes and claims them. If `keyed`, each has a resource key of its own; otherwise none has a
    /// key.
    async fn create_and_claim(&mut self, name: &str, keyed: bool) -> Result<(Duration, Duration)> {
        let first = self.created;
        self.created += PROBES_PER_CALL;
        let probes = (first..self.created).map(|number| probe(format!("{name}-{number}"), keyed));
        let began = Instant::now();
        self.client.create_many(probes).await?;
        let create = began.elapsed();
        let began = Instant::now();
        let response = self.client.store().claim(claim_probes()).await?;
        let claim = began.elapsed();
        match response.claims.len() {
            PROBES_PER_CALL => Ok((create, claim)),
            other => Err(format!("claimed {other} tasks instead of {PROBES_PER_CALL}").into()),
        }
    }

    async fn list_page(&self) -> Result<Duration> {
        let query = Query::new(Filter::new().newest_first(), PROBES_PER_CALL, Utc::now());
        let began = Instant::now();
        self.client.store().query(query).await?;
        Ok(began.elapsed())
    }

    /// Adds resource keys. Half of them have an active claim and a task that waits for its end. The others
    /// have a task that is due tomorrow.
    async fn add_keys(&mut self) -> Result {
        let tomorrow = Utc::now() + TimeDelta::days(1);
        for round in 0..RESOURCE_KEYS / 2 / PROBES_PER_CALL {
            let numbers = self.created..self.created + PROBES_PER_CALL;
            self.create_and_claim("claimed", true).await?;
            let blocked = numbers.map(|number| Probe {
                name: format!("blocked-{number}"),
                key: Some(format!("claimed-{number}")),
                at: None,
            });
            self.client.create_many(blocked).await?;
            let later = (0..PROBES_PER_CALL).map(|number| Probe {
                at: Some(tomorrow),
                ..probe(format!("later-{round}-{number}"), true)
            });
            self.client.create_many(later).await?;
        }
        Ok(())
    }
}

fn probe(name: String, keyed: bool) -> Probe {
    Probe {
        key: keyed.then(|| name.clone()),
        name,
        at: None,
    }
}

/// Returns a request for the due probes. The leases are longer than the measurement.
fn claim_probes() -> ClaimRequest {
    let demand = Demand::new([Probe::KIND], TimeDelta::days(1)).max_claims(PROBES_PER_CALL);
    // Slightly in the future, so that a task that was just created is due.
    let now = Utc::now() + TimeDelta::milliseconds(2);
    ClaimRequest::new("bench", now, vec![demand])
}
