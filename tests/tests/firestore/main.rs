//! The Firestore store, on an emulator that is started for this program: the conformance suite, and what only
//! this store must do.

mod chaos;
mod conformance;
mod fake;
mod go;
mod keys;
mod listening;
mod outages;
mod refusals;
mod replies;
mod usage;
mod wire;
mod world;

use std::env;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use tests::emulator::{self, HOW_TO_GET_IT, REQUIRED};

/// Lists the tests of a file.
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub(crate) const TESTS: $crate::Tests = &[$((stringify!($test), || {
            $crate::world::block_on($test());
        })),*];
    };
}
pub(crate) use tests;

/// Tests of a file.
type Tests = &'static [(&'static str, fn())];

fn main() -> ExitCode {
    if let Some(role) = keys::role() {
        keys::work_off(&role);
        return ExitCode::SUCCESS;
    }
    if refusals::is_stranger() {
        refusals::open_as_a_stranger();
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let files = [
        ("wire", wire::TESTS),
        ("usage", usage::TESTS),
        ("listening", listening::TESTS),
        ("keys", keys::TESTS),
        ("replies", replies::TESTS),
        ("refusals", refusals::TESTS),
        ("outages", outages::TESTS),
        ("chaos", chaos::TESTS),
    ];
    let own = files.into_iter().flat_map(|(file, tests)| {
        tests.iter().map(move |(name, test)| {
            Trial::test(format!("{file}::{name}"), move || {
                test();
                Ok(())
            })
        })
    });
    let trials: Vec<_> = conformance::trials().chain(own).collect();
    let trials = if is_possible() { trials } else { skipped(trials) };
    let conclusion = libtest_mimic::run(&arguments, trials);
    world::stop_emulator();
    conclusion.exit_code()
}

fn is_possible() -> bool {
    let is_required = env::var(REQUIRED).is_ok_and(|value| value == "1");
    let is_named = env::var("FIRESTORE_EMULATOR_HOST").is_ok_and(|host| !host.is_empty());
    is_required || is_named || emulator::is_installed()
}

fn skipped(trials: Vec<Trial>) -> Vec<Trial> {
    eprintln!("skipped: {HOW_TO_GET_IT}");
    trials
        .into_iter()
        .map(|trial| trial.with_ignored_flag(true))
        .collect()
}
