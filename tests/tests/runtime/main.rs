//! Tests of the worker on the memory store and the SQLite store: handlers, cancellations, leases, schedules, and
//! failures of the store.

mod cancellation;
mod cleanup;
mod crashes;
mod deferrals;
mod errors;
mod flaky_store;
mod generators;
mod groups;
mod leases;
mod logs;
mod outages;
mod prefetch;
mod progress;
mod reset_delete;
mod responsiveness;
mod results;
mod retries;
mod schedules;
mod shutdown;
mod startup;
mod wait;
