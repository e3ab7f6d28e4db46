use std::env;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;

/// The environment of a program that names none in `ONCE_TASK_ENV`.
pub const DEFAULT_ENV: &str = "DEFAULT";

const STORE: &str = "ONCETASK_STORE";
const ENV: &str = "ONCE_TASK_ENV";
const PROJECT: &str = "GOOGLE_CLOUD_PROJECT";
const EMULATOR: &str = "FIRESTORE_EMULATOR_HOST";
/// The project in an emulator of a program that names none.
const EMULATED_PROJECT: &str = "demo-oncetask";
const CAN_FIRESTORE: bool = cfg!(feature = "firestore");

/// Which store: what `ONCETASK_STORE` says.
///
/// | URL | store |
/// | --- | --- |
/// | `memory:` | this process's memory: for tests |
/// | `sqlite:path/to/file.db` | one SQLite file, made if it is not there |
/// | `firestore://PROJECT` | the default Firestore database of a Google Cloud project |
/// | `firestore://PROJECT/DATABASE` | another database of it |
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
    /// A Firestore database.
    Firestore {
        /// The Google Cloud project.
        project: String,
        /// The database, if it is not the default one.
        database: Option<String>,
    },
}

impl StoreUrl {
    /// What the environment says: `ONCETASK_STORE`. When that is not set: Firestore, if this program can use it
    /// and `GOOGLE_CLOUD_PROJECT` or `FIRESTORE_EMULATOR_HOST` is set, else `sqlite:oncetask.db`. The choice is
    /// logged.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when `ONCETASK_STORE` is no URL of a store.
    pub fn from_environment() -> Result<Self, Error> {
        Self::from_variables(variable)
    }

    fn from_variables(variable: impl Fn(&str) -> Result<Option<String>, Error>) -> Result<Self, Error> {
        if let Some(url) = variable(STORE)? {
            return url.parse();
        }
        let (project, emulator) = (variable(PROJECT)?, variable(EMULATOR)?);
        let (url, reason) = match (project, emulator) {
            (Some(project), _) if CAN_FIRESTORE => (Self::firestore(project), PROJECT),
            // Any name is a project of the emulator.
            (None, Some(_)) if CAN_FIRESTORE => (Self::firestore(EMULATED_PROJECT.to_owned()), EMULATOR),
            _ => (Self::Sqlite("oncetask.db".into()), "no other store is named"),
        };
        tracing::info!(store = %url, because = reason, "`{STORE}` is not set");
        Ok(url)
    }

    fn firestore(project: String) -> Self {
        Self::Firestore {
            project,
            database: None,
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
            reason: format!(
                "`{url}` is no store: {what}; {STORE} is `memory:`, `sqlite:path/to/file.db` or `firestore://PROJECT`"
            ),
        };
        let (scheme, rest) = url.split_once(':').ok_or_else(|| wrong("it has no `:`"))?;
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err(wrong("nothing follows `memory:`")),
            "sqlite" if rest.is_empty() => Err(wrong("the file is missing")),
            "sqlite" => Ok(Self::Sqlite(rest.into())),
            "firestore" => {
                let place = rest.strip_prefix("//").ok_or_else(|| wrong("`//` is missing"))?;
                let (project, database) = match place.split_once('/') {
                    None => (place, None),
                    Some((project, "")) => (project, None),
                    Some((project, database)) => (project, Some(database)),
                };
                if project.is_empty() {
                    return Err(wrong("the project is missing"));
                }
                if database.is_some_and(|database| database.contains('/')) {
                    return Err(wrong("nothing follows the database"));
                }
                Ok(Self::Firestore {
                    project: project.to_owned(),
                    database: database.map(ToOwned::to_owned),
                })
            }
            _ => Err(wrong(&format!("there is no store `{scheme}`"))),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Firestore {
                project,
                database: None,
            } => write!(f, "firestore://{project}"),
            Self::Firestore {
                project,
                database: Some(database),
            } => write!(f, "firestore://{project}/{database}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_as_it_is_written() {
        for url in ["memory:", "sqlite:a/b.db", "firestore://p", "firestore://p/d"] {
            let read: StoreUrl = url.parse().expect("a URL");
            assert_eq!(read.to_string(), url);
        }
        let slash: StoreUrl = "firestore://p/".parse().expect("a URL");
        assert_eq!(slash, StoreUrl::firestore("p".into()));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        for (url, reason) in [
            ("firestore:p", "`//` is missing"),
            ("firestore://", "the project is missing"),
            ("firestore://p/d/x", "nothing follows the database"),
            ("mysql://p", "there is no store `mysql`"),
        ] {
            let error = url.parse::<StoreUrl>().expect_err("no URL").to_string();
            assert!(
                error.contains(reason) && error.contains("firestore://PROJECT"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_environment_says_which_store() {
        let chosen = |set: &[(&str, &str)]| {
            let variable = |name: &str| {
                let found = set.iter().find(|(of, _)| *of == name);
                Ok(found.map(|(_, value)| (*value).to_owned()))
            };
            StoreUrl::from_variables(variable).expect("a store").to_string()
        };
        let project = ("GOOGLE_CLOUD_PROJECT", "p");
        let emulator = ("FIRESTORE_EMULATOR_HOST", "127.0.0.1:8080");
        assert_eq!(chosen(&[]), "sqlite:oncetask.db");
        assert_eq!(
            chosen(&[project, emulator, ("ONCETASK_STORE", "memory:")]),
            "memory:"
        );
        let expected = |firestore: &'static str| {
            if CAN_FIRESTORE {
                firestore
            } else {
                "sqlite:oncetask.db"
            }
        };
        assert_eq!(chosen(&[project, emulator]), expected("firestore://p"));
        assert_eq!(chosen(&[emulator]), expected("firestore://demo-oncetask"));
    }
}
