//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use crate::Result;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Our benches.
    pub(crate) ours: PathBuf,
    /// The program of effectum, which is built apart.
    pub(crate) effectum: PathBuf,
    /// The other programs are beside this one.
    pub(crate) peers: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) tasks: usize,
    /// Each measurement of a peer ends after this.
    pub(crate) limit: Duration,
    /// No measurement begins after this.
    pub(crate) at_most: Duration,
}

impl Options {
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let program = std::env::current_exe()?;
        let peers = program.parent().ok_or("this program is in no folder")?.to_owned();
        let mut options = Self {
            ours: peers.join("benches"),
            effectum: peers.join("effectum"),
            peers,
            out: PathBuf::from("RESULTS.md"),
            rounds: 4,
            tasks: 20_000,
            limit: Duration::from_secs(5),
            at_most: Duration::from_mins(16),
        };
        while let Some(name) = arguments.next() {
            if name == "--quick" {
                options.rounds = 1;
                options.tasks = 5_000;
                options.limit = Duration::from_secs(2);
                options.at_most = Duration::from_mins(5);
                continue;
            }
            let value = arguments
                .next()
                .ok_or_else(|| format!("`{name}` needs a value"))?;
            match name.as_str() {
                "--ours" => options.ours = value.into(),
                "--effectum" => options.effectum = value.into(),
                "--out" => options.out = value.into(),
                "--rounds" => options.rounds = value.parse()?,
                "--tasks" => options.tasks = value.parse()?,
                "--seconds" => options.limit = Duration::from_secs_f64(value.parse()?),
                "--minutes" => options.at_most = Duration::from_secs_f64(value.parse::<f64>()? * 60.0),
                _ => {
                    return Err(format!(
                        "there is no option `{name}`; there are --quick, --rounds, --tasks, --seconds, --minutes and --out"
                    )
                    .into());
                }
            }
        }
        Ok(options)
    }
}
