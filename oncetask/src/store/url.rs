use std::env;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;

/// The environment of a program that names none in `ONCE_TASK_ENV`.
pub const DEFAULT_ENV: &str = "DEFAULT";

const STORE: &str = "ONCETASK_STORE";
const ENV: &str = "ONCE_TASK_ENV";

/// Which store: what `ONCETASK_STORE` says.
///
/// | URL | store |
/// | --- | --- |
/// | `memory:` | this process's memory: for tests |
/// | `sqlite:path/to/file.db` | one SQLite file, made if it is not there |
///
/// ```
/// use oncetask::store::StoreUrl;
///
/// let url: StoreUrl = "sqlite:tasks.db".parse()?;
/// assert_eq!(url, StoreUrl::Sqlite("tasks.db".into()));
/// # Ok::<(), oncetask::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// This process's memory.
    Memory,
    /// A SQLite file.
    Sqlite(PathBuf),
}

impl StoreUrl {
    /// What the environment says: `ONCETASK_STORE`, or `sqlite:oncetask.db` when that is not set.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when `ONCETASK_STORE` is no URL of a store.
    pub fn from_environment() -> Result<Self, Error> {
        match variable(STORE)? {
            Some(url) => url.parse(),
            None => Ok(Self::Sqlite("oncetask.db".into())),
        }
    }
}

/// The environment that `ONCE_TASK_ENV` names, or [`DEFAULT_ENV`].
///
/// # Errors
///
/// [`Error::Config`] when the variable is not text.
pub fn env_from_environment() -> Result<String, Error> {
    Ok(variable(ENV)?.unwrap_or_else(|| DEFAULT_ENV.to_owned()))
}

/// An environment variable; `None` when it is not set or empty.
fn variable(name: &str) -> Result<Option<String>, Error> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Error::Config {
            reason: format!("`{name}` is not text"),
        }),
    }
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let wrong = |what: &str| Error::Config {
            reason: format!("`{url}` is no store: {what}; {STORE} is `memory:` or `sqlite:path/to/file.db`"),
        };
        let (scheme, rest) = url.split_once(':').ok_or_else(|| wrong("it has no `:`"))?;
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err(wrong("nothing follows `memory:`")),
            "sqlite" if rest.is_empty() => Err(wrong("the file is missing")),
            "sqlite" => Ok(Self::Sqlite(rest.into())),
            _ => Err(wrong(&format!("there is no store `{scheme}`"))),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}
