//! The behaviours that the integration tests of the Go library of the same name check, as tests on the memory store
//! and the SQLite store. A comment says where this library differs on purpose.

mod cancel;
mod create;
mod find;
mod handlers;
mod keys;
mod recurrence;
mod reset;
mod retry;
mod schedule;

use chrono::TimeDelta;
use oncetask::OnceTask as _;
use oncetask::store::Demand;
use tests::harness::Work;

/// The second environment of tests with two environments.
const ELSEWHERE: &str = "ELSEWHERE";

/// Returns a demand for one [`Work`] with a lease of a minute.
fn minute_claim() -> Demand {
    Demand::new([Work::KIND], TimeDelta::minutes(1))
}
