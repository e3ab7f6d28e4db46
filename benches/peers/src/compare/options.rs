//! The options of the command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::Result;

/// The programs to run, and the parameters of the measurements.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The program of oncetask's benches.
    pub(crate) ours: PathBuf,
    /// The program of effectum, which is in a workspace of its own.
    pub(crate) effectum: PathBuf,
    /// The folder of the other programs: that of this program.
    pub(crate) peers: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) tasks: usize,
    /// The time limit of a peer's measurement.
    pub(crate) limit: Duration,
    /// The duration after which no measurement begins.
    pub(crate) time_budget: Duration,
}

impl Options {
    /// Parses the arguments of the program.
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let program = std::env::current_exe()?;
        let peers = program.parent().ok_or("the program has no folder")?.to_owned();
        let mut options = Self {
            ours: peers.join("benches"),
            effectum: peers.join("effectum"),
            peers,
            out: PathBuf::from("RESULTS.md"),
            rounds: 4,
            tasks: 20_000,
            limit: Duration::from_secs(5),
            time_budget: Duration::from_mins(16),
        };
        while let Some(name) = arguments.next() {
            if name == "--quick" {
                options.rounds = 1;
                options.tasks = 5_000;
                options.limit = Duration::from_secs(2);
                options.time_budget = Duration::from_mins(5);
                continue;
            }
            let value = arguments
                .next()
                .ok_or_else(|| format!("missing value of the option `{name}`"))?;
            match name.as_str() {
                "--ours" => options.ours = value.into(),
                "--effectum" => options.effectum = value.into(),
                "--out" => options.out = value.into(),
                "--rounds" => options.rounds = value.parse()?,
                "--tasks" => options.tasks = value.parse()?,
                "--seconds" => options.limit = Duration::from_secs_f64(value.parse()?),
                "--minutes" => options.time_budget = Duration::from_secs_f64(value.parse::<f64>()? * 60.0),
                _ => {
                    return Err(format!(
                        "unknown option `{name}`; the options are --quick, --rounds, --tasks, --seconds, --minutes and --out"
                    )
                    .into());
                }
            }
        }
        Ok(options)
    }
}
