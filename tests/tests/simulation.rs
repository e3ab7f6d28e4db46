//! The simulation: no seed violates an invariant, every missing guard is detected, and a seed has one history.

use std::process::Command;
use std::thread;

use tests::simulation::{self, Broken, Search};

/// The number of seeds of this test. The program `simulate` runs more.
const SEEDS: u64 = 300;
/// The number of seeds within which a missing guard must be detected.
const DETECTED_WITHIN: u64 = 500;

/// Every kind of fault.
const FAULTS: [&str; 17] = [
    "calls of a starved store",
    "calls done in part",
    "clocks set",
    "errors after the write",
    "errors before the write",
    "partitions",
    "replies late",
    "replies lost",
    "requests late",
    "requests lost",
    "requests out of order",
    "requests repeated",
    "wake-ups lost",
    "workers frozen",
    "workers killed",
    "workers started",
    "workers stopped",
];

#[test]
fn no_seed_violates_an_invariant() {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let Search { ran, found, faults } = simulation::search(1..SEEDS + 1, None, threads);
    if let Some(seed) = found {
        let report = simulation::explain(seed, None).expect("the seed violates the invariant again");
        panic!("{report}");
    }
    assert_eq!(ran, SEEDS);
    println!("faults: {}", simulation::format_faults(&faults));
    for fault in FAULTS {
        assert!(
            faults.get(fault).is_some_and(|count| *count > 0),
            "no fault `{fault}` occurred: {faults:?}"
        );
    }
}

#[test]
fn every_missing_guard_is_detected() {
    let detected = thread::scope(|scope| {
        let search = |broken: &'static Broken| {
            (
                broken,
                scope.spawn(|| simulation::first_detecting_seed(*broken, 1..DETECTED_WITHIN + 1)),
            )
        };
        let searches: Vec<_> = Broken::ALL.iter().map(search).collect();
        searches
            .into_iter()
            .map(|(broken, seed)| (broken, seed.join().expect("the simulation does not panic")))
            .collect::<Vec<_>>()
    });
    for (broken, seed) in &detected {
        match seed {
            Some(seed) => println!("{}: `{}` in seed {seed}", broken.name(), broken.breaks()),
            None => println!(
                "{}: `{}` in none of {DETECTED_WITHIN} seeds",
                broken.name(),
                broken.breaks()
            ),
        }
    }
    let undetected: Vec<_> = detected.iter().filter(|(_, seed)| seed.is_none()).collect();
    assert!(undetected.is_empty(), "not detected: {undetected:?}");
}

#[test]
fn every_guard_protects_an_invariant() {
    for broken in Broken::ALL {
        let exists = simulation::invariants().any(|invariant| invariant == broken.breaks());
        assert!(exists, "there is no invariant `{}`", broken.breaks());
        assert_eq!(Broken::named(broken.name()), Some(*broken));
    }
}

#[test]
fn a_seed_has_one_history_in_every_process() {
    for seed in [3, 14, 159] {
        let here = simulation::run(seed, None).history.to_string();
        assert!(
            here.lines().count() > 20,
            "seed {seed} has too few events:\n{here}"
        );
        assert_eq!(simulation::run(seed, None).history.to_string(), here);
        for _ in 0..2 {
            assert_eq!(
                history_of_another_process(seed),
                here,
                "seed {seed} has a different history in another process"
            );
        }
    }
}

fn history_of_another_process(seed: u64) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_simulate"))
        .args(["--history", "--seed", &seed.to_string()])
        .output()
        .expect("the simulation runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("a history is text")
}

#[test]
fn a_violation_is_reported_with_a_short_history() {
    let broken = Broken::ClaimWithoutPrecondition;
    let seed = simulation::first_detecting_seed(broken, 1..DETECTED_WITHIN + 1)
        .expect("the missing guard is detected");
    let report = simulation::explain(seed, Some(broken))
        .expect("the missing guard is detected")
        .to_string();
    assert!(
        report.contains("1 tasks, 0 requests for changes, 0 faults of workers"),
        "{report}"
    );
    let again = format!("--bin simulate -- --seed {seed} --seeds 1 --broken claim-without-precondition");
    assert!(report.ends_with(&again), "{report}");
    assert!(report.lines().count() < 40, "{report}");
}
