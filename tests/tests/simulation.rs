//! The simulation: no seed breaks an invariant, every missing guard is missed, and a seed has one history.

use std::process::Command;
use std::thread;

use tests::simulation::{self, Broken, Search};

/// How many seeds are run for each change of the library. `--bin simulate` runs as many as wanted.
const SEEDS: u64 = 300;
/// In how many seeds a missing guard must be missed.
const MISSED_WITHIN: u64 = 500;

/// Every sort of fault there is.
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
fn no_seed_breaks_an_invariant() {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let Search { ran, found, faults } = simulation::search(1..SEEDS + 1, None, threads);
    if let Some(seed) = found {
        let report = simulation::explain(seed, None).expect("the seed breaks an invariant again");
        panic!("{report}");
    }
    assert_eq!(ran, SEEDS);
    println!("faults: {}", simulation::format_faults(&faults));
    for fault in FAULTS {
        assert!(
            faults.get(fault).is_some_and(|times| *times > 0),
            "no {fault}: {faults:?}"
        );
    }
}

#[test]
fn every_missing_guard_is_missed() {
    let missed = thread::scope(|scope| {
        let look = |broken: &'static Broken| {
            (
                broken,
                scope.spawn(|| simulation::first_detecting_seed(*broken, 1..MISSED_WITHIN + 1)),
            )
        };
        let looking: Vec<_> = Broken::ALL.iter().map(look).collect();
        let looked = looking.into_iter();
        looked
            .map(|(broken, seed)| (broken, seed.join().expect("a simulation does not panic")))
            .collect::<Vec<_>>()
    });
    for (broken, seed) in &missed {
        match seed {
            Some(seed) => println!("{}: `{}` in seed {seed}", broken.name(), broken.breaks()),
            None => println!(
                "{}: `{}` in none of {MISSED_WITHIN} seeds",
                broken.name(),
                broken.breaks()
            ),
        }
    }
    let unnoticed: Vec<_> = missed.iter().filter(|(_, seed)| seed.is_none()).collect();
    assert!(unnoticed.is_empty(), "nobody misses {unnoticed:?}");
}

#[test]
fn every_guard_stands_for_an_invariant() {
    for broken in Broken::ALL {
        let stands = simulation::invariants().any(|invariant| invariant == broken.breaks());
        assert!(stands, "there is no invariant `{}`", broken.breaks());
        assert_eq!(Broken::named(broken.name()), Some(*broken));
    }
}

#[test]
fn a_seed_has_one_history_in_every_process() {
    for seed in [3, 14, 159] {
        let here = simulation::run(seed, None).history.to_string();
        assert!(
            here.lines().count() > 20,
            "hardly anything happens in seed {seed}:\n{here}"
        );
        assert_eq!(simulation::run(seed, None).history.to_string(), here);
        for _ in 0..2 {
            assert_eq!(
                elsewhere(seed),
                here,
                "seed {seed} has another history in another process"
            );
        }
    }
}

fn elsewhere(seed: u64) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_simulate"))
        .args(["--history", "--seed", &seed.to_string()])
        .output()
        .expect("the simulation runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("a history is text")
}

#[test]
fn a_violation_is_told_in_the_shortest_history_found() {
    let broken = Broken::ClaimWithoutPrecondition;
    let seed = simulation::first_detecting_seed(broken, 1..MISSED_WITHIN + 1).expect("it is missed");
    let report = simulation::explain(seed, Some(broken))
        .expect("it is missed")
        .to_string();
    assert!(
        report.contains("1 tasks, 0 requests for changes, 0 faults of workers"),
        "{report}"
    );
    let again = format!("--bin simulate -- --seed {seed} --seeds 1 --broken claim-without-precondition");
    assert!(report.ends_with(&again), "{report}");
    assert!(report.lines().count() < 40, "{report}");
}
