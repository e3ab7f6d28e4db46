//! Whether what a store holds slows down what is done in it: finished tasks, waiting ones of other kinds, many
//! resource keys.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::store::{ClaimRequest, Demand, Query};
use oncetask::{Client, Filter, OnceTask};
use serde::{Deserialize, Serialize};

use super::Result;
use super::create::fill;
use super::drain::run_all;
use crate::options::{Options, Place};
use crate::report::{Line, Usage};

const CONCURRENCY: usize = 100;
/// How many tasks are created and claimed in one call, and how many a page has.
const CALL: usize = 100;
/// The median of so many calls.
const RUNS: usize = 401;
const KEYS: usize = 10_000;
const WAITING: usize = 100_000;

/// What is created and claimed.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("probe:{name}")]
struct Probe {
    name: String,
    #[resource_key]
    key: Option<String>,
    #[run_at]
    at: Option<DateTime<Utc>>,
}

/// A task of another kind that waits, and would be due.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("other:{number}")]
struct Other {
    number: usize,
}

/// What is measured, in the order of [`Probes::once`].
const NAMES: [&str; 5] = ["create", "claim", "create with keys", "claim with keys", "list"];

/// The probes of one store.
struct Probes<'a> {
    client: &'a Client,
    created: usize,
}

/// What a create, a claim and a page cost with more and more in the store, beside one that has nothing else in it.
pub(crate) async fn grow(options: &Options) -> Result {
    let place = Place::new(options)?;
    let client = place.client().await?;
    let mut probes = Probes {
        client: &client,
        created: 0,
    };
    let mut finished = 0;
    for wanted in [100_000, 1_000_000] {
        fill(&client, finished..wanted, 1000).await?;
        run_all(&client, CONCURRENCY, wanted - finished).await?;
        finished = wanted;
        probes.measure(options, &format!("{wanted} finished")).await?;
    }
    for first in (0..WAITING).step_by(1000) {
        let tasks = (first..first + 1000).map(|number| Other { number });
        client.create_many(tasks).await?;
    }
    let note = format!("{finished} finished, {WAITING} of another kind wait");
    probes.measure(options, &note).await?;
    probes.hold_keys().await?;
    let note = format!("the same, {KEYS} keys of which half are held");
    probes.measure(options, &note).await
}

impl Probes<'_> {
    /// Prints the median of each, beside that of a new store: in turns, so that what else the machine does meets both.
    async fn measure(&mut self, options: &Options, note: &str) -> Result {
        let place = Place::new(options)?;
        let client = place.client().await?;
        let mut empty = Probes {
            client: &client,
            created: 0,
        };
        let mut times = NAMES.map(|_| (Vec::new(), Vec::new()));
        let before = Usage::of_this_process();
        for _ in 0..RUNS {
            let here = self.once().await?;
            let there = empty.once().await?;
            for (times, (here, there)) in times.iter_mut().zip(here.into_iter().zip(there)) {
                times.0.push(here);
                times.1.push(there);
            }
        }
        let after = Usage::of_this_process();
        for (what, (here, there)) in NAMES.into_iter().zip(times) {
            let line = Line::of(&options.store, "grow", CALL).times(here);
            let mut line = line.beside_empty(there).used(before, after);
            // The processor time is that of all five, in both stores.
            line.cpu_us_per_task = None;
            line.note = Some(format!("{what}: {note}"));
            line.print()?;
        }
        Ok(())
    }

    /// One of each.
    async fn once(&mut self) -> Result<[Duration; NAMES.len()]> {
        let (create, claim) = self.create_and_claim("plain", false).await?;
        let (create_keys, claim_keys) = self.create_and_claim("keyed", true).await?;
        let page = self.page().await?;
        Ok([create, claim, create_keys, claim_keys, page])
    }

    /// Creates tasks, each of a key of its own or of none, and claims them.
    async fn create_and_claim(&mut self, name: &str, keyed: bool) -> Result<(Duration, Duration)> {
        let first = self.created;
        self.created += CALL;
        let probes = (first..first + CALL).map(|number| probe(format!("{name}-{number}"), keyed));
        let began = Instant::now();
        self.client.create_many(probes).await?;
        let create = began.elapsed();
        let began = Instant::now();
        let claimed = self.client.store().claim(all_probes()).await?;
        let claim = began.elapsed();
        match claimed.claims.len() {
            CALL => Ok((create, claim)),
            others => Err(format!("{others} of {CALL} tasks were claimed").into()),
        }
    }

    async fn page(&self) -> Result<Duration> {
        let query = Query {
            filter: Filter::new().newest_first(),
            after: None,
            limit: CALL,
            now: Utc::now(),
        };
        let began = Instant::now();
        self.client.store().query(query).await?;
        Ok(began.elapsed())
    }

    /// Holds half of the keys, with another task waiting behind; those of the other half wait for tomorrow.
    async fn hold_keys(&mut self) -> Result {
        let tomorrow = Utc::now() + TimeDelta::days(1);
        for round in 0..KEYS / 2 / CALL {
            let numbers = self.created..self.created + CALL;
            self.create_and_claim("held", true).await?;
            let behind = numbers.map(|number| Probe {
                name: format!("behind-{number}"),
                key: Some(format!("held-{number}")),
                at: None,
            });
            self.client.create_many(behind).await?;
            let later = (0..CALL).map(|number| Probe {
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

/// A claim of everything that is due, for longer than the measurement lasts.
fn all_probes() -> ClaimRequest {
    let demand = Demand {
        kinds: vec![Probe::KIND.to_owned()],
        max_claims: CALL,
        max_group: 1,
        lease: TimeDelta::days(1),
        generators_only: false,
    };
    ClaimRequest {
        owner: "bench".into(),
        now: Utc::now() + TimeDelta::milliseconds(2),
        demands: vec![demand],
    }
}
