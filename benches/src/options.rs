//! The options of the command line.

/// The case to measure, and its parameters.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) case: String,
    pub(crate) store: String,
    pub(crate) tasks: usize,
    pub(crate) concurrency: Option<usize>,
    /// The number of worker processes to start. If it is `None`, this process runs the worker.
    pub(crate) processes: Option<usize>,
    /// The number of measurements at each concurrency.
    pub(crate) rounds: usize,
    /// The heartbeat in seconds. By default the case `recovery` measures several heartbeats.
    pub(crate) heartbeat: Option<u64>,
    /// The file or the Firestore project of the parent process, in a process that a case started.
    pub(crate) location: Option<String>,
}

/// The cases, for error messages.
pub(crate) const CASES: &str =
    "create, create_all, drain, latency, idle, overhead, grow, list, recovery, recurrence, macros";

impl Options {
    /// Parses the arguments of the program.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no case, an option is unknown, or an option has no valid value.
    pub(crate) fn from_arguments(
        mut arguments: impl Iterator<Item = String>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let case = arguments
            .next()
            .ok_or_else(|| format!("missing case; the cases are {CASES}"))?;
        let mut options = Self {
            case,
            store: "sqlite".to_owned(),
            tasks: 20_000,
            concurrency: None,
            processes: None,
            rounds: 1,
            heartbeat: None,
            location: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| format!("missing value of the option `{name}`"))?;
            match name.as_str() {
                "--store" => options.store = value,
                "--tasks" => options.tasks = value.parse()?,
                "--concurrency" => options.concurrency = Some(value.parse()?),
                "--processes" => options.processes = Some(value.parse()?),
                "--rounds" => options.rounds = value.parse()?,
                "--heartbeat" => options.heartbeat = Some(value.parse()?),
                "--place" => options.location = Some(value),
                _ => {
                    return Err(format!(
                        "unknown option `{name}`; the options are --store, --tasks, --concurrency, --processes, --rounds and --heartbeat"
                    )
                    .into());
                }
            }
        }
        Ok(options)
    }
}
