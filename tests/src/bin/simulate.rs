//! Runs the simulation for as many seeds as wanted.
//!
//! ```text
//! cargo run --release -p tests --bin simulate -- [--seeds N] [--seed FIRST] [--threads N] [--broken NAME] [--history]
//! ```
//!
//! Ends with 1 when a seed broke an invariant, and prints the shortest history of it and the command that runs
//! it again. `--broken` leaves out one guard of the library, to see that it is missed; `--history` prints
//! everything that happened in the first seed.

use std::process::ExitCode;
use std::time::Instant;

use tests::simulation::{self, Broken, Search};

struct Options {
    seed: u64,
    seeds: u64,
    threads: usize,
    broken: Option<Broken>,
    history: bool,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)) {
        Ok(options) if options.history => print_history(&options),
        Ok(options) => run(&options),
        Err(mistake) => {
            eprintln!("{mistake}");
            ExitCode::from(2)
        }
    }
}

fn print_history(options: &Options) -> ExitCode {
    let outcome = simulation::run(options.seed, options.broken);
    print!("{}", outcome.history);
    ExitCode::from(u8::from(!outcome.violations.is_empty()))
}

fn run(options: &Options) -> ExitCode {
    let began = Instant::now();
    let seeds = options.seed..options.seed.saturating_add(options.seeds);
    let Search { ran, found, faults } = simulation::search(seeds, options.broken, options.threads);
    let took = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = ran as f64 / took;
    println!("{ran} seeds in {took:.1} s, {rate:.0} a second");
    println!("faults: {}", simulation::listed(&faults));
    let Some(seed) = found else {
        println!("no invariant was broken: {}", simulation::invariants().count());
        return ExitCode::SUCCESS;
    };
    match simulation::explain(seed, options.broken) {
        Some(report) => println!("{report}"),
        None => println!("seed {seed} broke an invariant, and does not do so again: it is not deterministic"),
    }
    ExitCode::FAILURE
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        seed: 1,
        seeds: 1_000,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        broken: None,
        history: false,
    };
    while let Some(arg) = args.next() {
        if arg == "--history" {
            options.history = true;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("`{arg}` needs a value"))?;
        let number = || {
            value
                .parse()
                .map_err(|_| format!("`{arg} {value}`: not a number"))
        };
        match arg.as_str() {
            "--seed" => options.seed = number()?,
            "--seeds" => options.seeds = number()?,
            "--threads" => options.threads = usize::try_from(number()?).unwrap_or(1).max(1),
            "--broken" => options.broken = Some(broken(&value)?),
            _ => {
                return Err(format!(
                    "`{arg}` is no option: --seed, --seeds, --threads, --broken, --history"
                ));
            }
        }
    }
    Ok(options)
}

fn broken(name: &str) -> Result<Broken, String> {
    Broken::named(name).ok_or_else(|| {
        let names: Vec<_> = Broken::ALL.iter().map(|broken| broken.name()).collect();
        format!("there is no guard `{name}`; there are {}", names.join(", "))
    })
}
