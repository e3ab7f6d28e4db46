//! What the command line says.

use std::path::Path;
use std::time::Duration;

use crate::{Peer, Result};

/// A measurement and its measure.
#[derive(Clone, Debug)]
pub struct Options {
    pub case: String,
    pub variant: String,
    pub tasks: usize,
    pub concurrency: Option<usize>,
    /// After this it is enough, however many there were.
    pub limit: Duration,
    /// The server, as a URL, for those that need one.
    pub place: Option<String>,
}

impl Options {
    pub(crate) fn from_arguments<P: Peer>(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let case = arguments
            .next()
            .ok_or("which case? create, create_all, drain, latency")?;
        let mut options = Self {
            case,
            variant: P::VARIANTS.first().copied().unwrap_or_default().to_owned(),
            tasks: 20_000,
            concurrency: None,
            limit: Duration::from_mins(10),
            place: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| format!("`{name}` needs a value"))?;
            match name.as_str() {
                "--tasks" => options.tasks = value.parse()?,
                "--concurrency" => options.concurrency = Some(value.parse()?),
                "--variant" => options.variant = value,
                "--seconds" => options.limit = Duration::from_secs_f64(value.parse()?),
                "--place" => options.place = Some(value),
                _ => {
                    return Err(format!(
                        "there is no option `{name}`; the options are --tasks, --concurrency, --variant, --seconds and --place"
                    )
                    .into());
                }
            }
        }
        if !P::VARIANTS.contains(&options.variant.as_str()) {
            return Err(format!("{} has the variants {}", P::NAME, P::VARIANTS.join(", ")).into());
        }
        Ok(options)
    }

    #[must_use]
    pub fn is(&self, variant: &str) -> bool {
        self.variant == variant
    }
}

/// A folder for a file, beside the build: `/tmp` may be memory, and the figures are about a disk.
///
/// # Errors
///
/// When the folder of the program cannot be written to.
pub fn folder() -> Result<tempfile::TempDir> {
    let program = std::env::current_exe()?;
    let beside = program.parent().unwrap_or(Path::new("."));
    Ok(tempfile::tempdir_in(beside)?)
}
