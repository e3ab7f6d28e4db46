//! The options of the command line.

use std::path::Path;
use std::time::Duration;

use crate::{Peer, Result};

/// The case to measure, and its parameters.
#[derive(Clone, Debug)]
pub struct Options {
    pub case: String,
    pub variant: String,
    pub tasks: usize,
    pub concurrency: Option<usize>,
    /// The time limit of a measurement. A measurement that reaches it is cut off.
    pub limit: Duration,
    /// The URL of the PostgreSQL server, for a peer that needs one.
    pub server: Option<String>,
}

impl Options {
    /// Parses the arguments of the program.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no case, an option or the variant is unknown, or an option has no valid
    /// value.
    pub(crate) fn from_arguments<P: Peer>(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let case = arguments
            .next()
            .ok_or("missing case; the cases are create, create_all, drain and latency")?;
        let mut options = Self {
            case,
            variant: P::VARIANTS.first().copied().unwrap_or_default().to_owned(),
            tasks: 20_000,
            concurrency: None,
            limit: Duration::from_mins(10),
            server: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| format!("missing value of the option `{name}`"))?;
            match name.as_str() {
                "--tasks" => options.tasks = value.parse()?,
                "--concurrency" => options.concurrency = Some(value.parse()?),
                "--variant" => options.variant = value,
                "--seconds" => options.limit = Duration::from_secs_f64(value.parse()?),
                "--place" => options.server = Some(value),
                _ => {
                    return Err(format!(
                        "unknown option `{name}`; the options are --tasks, --concurrency, --variant, --seconds and --place"
                    )
                    .into());
                }
            }
        }
        if !P::VARIANTS.contains(&options.variant.as_str()) {
            return Err(format!(
                "unknown variant `{}`; the variants of {} are {}",
                options.variant,
                P::NAME,
                P::VARIANTS.join(", ")
            )
            .into());
        }
        Ok(options)
    }

    /// Returns whether this variant of the peer is measured.
    #[must_use]
    pub fn is(&self, variant: &str) -> bool {
        self.variant == variant
    }
}

/// Creates a temporary folder next to the program, and not in `/tmp`, because `/tmp` may be in memory and the
/// disk is measured.
///
/// # Errors
///
/// Returns an error if the folder of the program cannot be written to.
pub fn scratch_folder() -> Result<tempfile::TempDir> {
    let program = std::env::current_exe()?;
    let parent = program.parent().unwrap_or(Path::new("."));
    Ok(tempfile::tempdir_in(parent)?)
}
