//! Runs the simulation for a range of seeds.
//!
//! ```text
//! cargo run --release -p tests --bin simulate -- [--seeds N] [--seed FIRST] [--threads N] [--broken NAME] [--history]
//! ```
//!
//! If a seed violates an invariant, prints the shortest history of it that was found and the command that
//! reproduces it, and exits with status 1. `--broken` removes one guard of the library, which the simulation must
//! detect. `--history` prints every event of the first seed. `--help` lists the guards.

use std::process::ExitCode;
use std::time::Instant;

use tests::simulation::{self, Broken, Search};

const USAGE: &str = "\
simulate [--seeds N] [--seed FIRST] [--threads N] [--broken NAME] [--history]

  --seeds N      the number of seeds (1000)
  --seed FIRST   the first seed (1)
  --threads N    the number of threads (one for each core)
  --broken NAME  removes one guard of the library
  --history      prints every event of the first seed

The guards that --broken removes, and the invariants that they protect:
";

struct Options {
    seed: u64,
    seeds: u64,
    threads: usize,
    broken: Option<Broken>,
    history: bool,
}

fn main() -> ExitCode {
    if std::env::args().any(|arg| arg == "--help") {
        print_help();
        return ExitCode::SUCCESS;
    }
    match options(std::env::args().skip(1)) {
        Ok(options) if options.history => print_history(&options),
        Ok(options) => run(&options),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn print_help() {
    print!("{USAGE}");
    for broken in Broken::ALL {
        println!("  {:<28} {}", broken.name(), broken.breaks());
    }
}

fn print_history(options: &Options) -> ExitCode {
    let outcome = simulation::run(options.seed, options.broken);
    print!("{}", outcome.history);
    ExitCode::from(u8::from(!outcome.violations.is_empty()))
}

fn run(options: &Options) -> ExitCode {
    let started = Instant::now();
    let seeds = options.seed..options.seed.saturating_add(options.seeds);
    let Search { ran, found, faults } = simulation::search(seeds, options.broken, options.threads);
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "the rate is rounded")]
    let rate = ran as f64 / seconds;
    println!("{ran} seeds in {seconds:.1} s, {rate:.0} seeds per second");
    println!("faults: {}", simulation::format_faults(&faults));
    let Some(seed) = found else {
        println!(
            "no seed violates any of the {} invariants",
            simulation::invariants().count()
        );
        return ExitCode::SUCCESS;
    };
    match simulation::explain(seed, options.broken) {
        Some(report) => println!("{report}"),
        None => println!("seed {seed} violated an invariant only once: the simulation is not deterministic"),
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
                .map_err(|_| format!("invalid value `{value}` of `{arg}`: it must be a whole number"))
        };
        match arg.as_str() {
            "--seed" => options.seed = number()?,
            "--seeds" => options.seeds = number()?,
            "--threads" => options.threads = usize::try_from(number()?).unwrap_or(1).max(1),
            "--broken" => options.broken = Some(broken(&value)?),
            _ => return Err(format!("unknown option `{arg}`: see `--help`")),
        }
    }
    Ok(options)
}

fn broken(name: &str) -> Result<Broken, String> {
    Broken::named(name).ok_or_else(|| {
        let names: Vec<_> = Broken::ALL.iter().map(|broken| broken.name()).collect();
        format!("unknown guard `{name}`: the guards are {}", names.join(", "))
    })
}
