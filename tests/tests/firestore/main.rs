//! Tests of the Firestore store on an emulator, which this program starts: the conformance suite, and the properties
//! that only this store has.

mod chaos;
mod conformance;
mod costs;
mod errors;
mod fake_server;
mod go_worker;
mod lost_replies;
mod notifications;
mod outages;
mod resource_keys;
mod wire;

use std::env;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use tests::emulator::{self, HOW_TO_GET_IT, REQUIRED};
use tests::harness::firestore::stop_emulator;

/// Lists the tests of a module. Each runs on a runtime of its own.
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub(crate) const TESTS: $crate::Tests = &[$((stringify!($test), || {
            tests::harness::firestore::block_on($test());
        })),*];
    };
}
pub(crate) use tests;

/// The tests of a module: their names and their functions.
type Tests = &'static [(&'static str, fn())];

fn main() -> ExitCode {
    // Some tests start this program again as another process.
    if let Some(role) = resource_keys::role() {
        resource_keys::run_role(&role);
        return ExitCode::SUCCESS;
    }
    if errors::opens_without_credentials() {
        errors::open_without_credentials();
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let modules = [
        ("wire", wire::TESTS),
        ("costs", costs::TESTS),
        ("notifications", notifications::TESTS),
        ("resource_keys", resource_keys::TESTS),
        ("lost_replies", lost_replies::TESTS),
        ("errors", errors::TESTS),
        ("outages", outages::TESTS),
        ("chaos", chaos::TESTS),
    ];
    let own = modules.into_iter().flat_map(|(module, tests)| {
        tests.iter().map(move |(name, test)| {
            Trial::test(format!("{module}::{name}"), move || {
                test();
                Ok(())
            })
        })
    });
    let trials: Vec<_> = conformance::trials().chain(own).collect();
    let trials = if can_run() { trials } else { ignored(trials) };
    let conclusion = libtest_mimic::run(&arguments, trials);
    stop_emulator();
    conclusion.exit_code()
}

/// Returns whether there is an emulator, or whether its absence must fail the tests.
fn can_run() -> bool {
    let is_required = env::var(REQUIRED).is_ok_and(|value| value == "1");
    let is_named = env::var("FIRESTORE_EMULATOR_HOST").is_ok_and(|host| !host.is_empty());
    is_required || is_named || emulator::is_installed()
}

fn ignored(trials: Vec<Trial>) -> Vec<Trial> {
    eprintln!("skipped: {HOW_TO_GET_IT}");
    trials
        .into_iter()
        .map(|trial| trial.with_ignored_flag(true))
        .collect()
}
