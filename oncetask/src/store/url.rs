//! The choice of a store and an environment by environment variables.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;

/// The environment of a program that sets neither `ONCE_TASK_ENV` nor `ONCETASK_ENV`.
pub const DEFAULT_ENV: &str = "DEFAULT";

const STORE: &str = "ONCETASK_STORE";
/// The name that the Go library uses.
const ENV: &str = "ONCE_TASK_ENV";
const ENV_ALIAS: &str = "ONCETASK_ENV";
const PROJECT: &str = "GOOGLE_CLOUD_PROJECT";
const EMULATOR: &str = "FIRESTORE_EMULATOR_HOST";
/// The project that is used with an emulator if the program names none.
const EMULATED_PROJECT: &str = "demo-oncetask";
const HAS_FIRESTORE: bool = cfg!(feature = "firestore");

/// The URL of a store, as in `ONCETASK_STORE`.
///
/// | URL | store |
/// | --- | --- |
/// | `memory:` | the memory of this process, for tests |
/// | `sqlite:path/to/file.db` | a SQLite file, which is created if it does not exist |
/// | `firestore://PROJECT` | the default Firestore database of a Google Cloud project |
/// | `firestore://PROJECT/DATABASE` | another Firestore database of the project |
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
    /// The memory of this process.
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
    /// Returns the URL in `ONCETASK_STORE`. If that variable is not set, returns the URL of Firestore if this program
    /// has the feature `firestore` and `GOOGLE_CLOUD_PROJECT` or `FIRESTORE_EMULATOR_HOST` is set, and
    /// `sqlite:oncetask.db` otherwise. Such a choice is logged.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if `ONCETASK_STORE` is not a valid store URL, or if one of the variables is not valid
    /// UTF-8.
    pub fn from_environment() -> Result<Self, Error> {
        Self::from_variables(variable)
    }

    fn from_variables(variable: impl Fn(&str) -> Result<Option<String>, Error>) -> Result<Self, Error> {
        if let Some(url) = variable(STORE)? {
            return url.parse();
        }
        let (project, emulator) = (variable(PROJECT)?, variable(EMULATOR)?);
        let (url, reason) = match (project, emulator) {
            (Some(project), _) if HAS_FIRESTORE => (Self::firestore(project), PROJECT),
            // An emulator accepts any project name.
            (None, Some(_)) if HAS_FIRESTORE => (Self::firestore(EMULATED_PROJECT.to_owned()), EMULATOR),
            _ => (Self::Sqlite("oncetask.db".into()), "no variable names a store"),
        };
        tracing::info!(store = %url, reason, "`{STORE}` is not set");
        Ok(url)
    }

    fn firestore(project: String) -> Self {
        Self::Firestore {
            project,
            database: None,
        }
    }
}

/// Returns the environment in `ONCE_TASK_ENV` or `ONCETASK_ENV`, or [`DEFAULT_ENV`] if neither is set.
///
/// # Errors
///
/// Returns [`Error::Config`] if both variables are set and differ, or if one of them is not valid UTF-8.
pub fn env_from_environment() -> Result<String, Error> {
    env_from_variables(variable)
}

fn env_from_variables(variable: impl Fn(&str) -> Result<Option<String>, Error>) -> Result<String, Error> {
    match (variable(ENV)?, variable(ENV_ALIAS)?) {
        (Some(env), Some(alias)) if env != alias => Err(Error::Config {
            reason: format!(
                "`{ENV}` is `{env}`, but `{ENV_ALIAS}` is `{alias}`: both name the environment, so unset one of them"
            ),
        }),
        (Some(env), _) | (None, Some(env)) => Ok(env),
        (None, None) => Ok(DEFAULT_ENV.to_owned()),
    }
}

/// Returns the value of an environment variable, or `None` if it is not set or empty.
fn variable(name: &str) -> Result<Option<String>, Error> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Error::Config {
            reason: format!("the value of `{name}` is not valid UTF-8"),
        }),
    }
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let invalid = |reason: &str| Error::Config {
            reason: format!(
                "invalid store URL `{url}`: {reason}; valid URLs are `memory:`, `sqlite:path/to/file.db` and \
                 `firestore://PROJECT`"
            ),
        };
        let (scheme, rest) = url
            .split_once(':')
            .ok_or_else(|| invalid("the scheme, as in `sqlite:`, is missing"))?;
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err(invalid("nothing may follow `memory:`")),
            "sqlite" if rest.is_empty() => Err(invalid("the path of the file is missing")),
            "sqlite" => Ok(Self::Sqlite(rest.into())),
            "firestore" => {
                let path = rest
                    .strip_prefix("//")
                    .ok_or_else(|| invalid("`//` is missing"))?;
                let (project, database) = match path.split_once('/') {
                    None => (path, None),
                    Some((project, "")) => (project, None),
                    Some((project, database)) => (project, Some(database)),
                };
                if project.is_empty() {
                    return Err(invalid("the project is missing"));
                }
                if database.is_some_and(|database| database.contains('/')) {
                    return Err(invalid("nothing may follow the database"));
                }
                Ok(Self::Firestore {
                    project: project.to_owned(),
                    database: database.map(ToOwned::to_owned),
                })
            }
            _ => Err(invalid(&format!("the scheme `{scheme}` is unknown"))),
        }
    }
}

impl TryFrom<&str> for StoreUrl {
    type Error = Error;

    fn try_from(url: &str) -> Result<Self, Error> {
        url.parse()
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = Error;

    fn try_from(url: String) -> Result<Self, Error> {
        url.parse()
    }
}

impl TryFrom<&String> for StoreUrl {
    type Error = Error;

    fn try_from(url: &String) -> Result<Self, Error> {
        url.parse()
    }
}

impl From<&StoreUrl> for StoreUrl {
    fn from(url: &StoreUrl) -> Self {
        url.clone()
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
    fn a_url_parses_to_what_it_displays() {
        for url in ["memory:", "sqlite:a/b.db", "firestore://p", "firestore://p/d"] {
            let read: StoreUrl = url.parse().expect("a URL");
            assert_eq!(read.to_string(), url);
        }
        let slash: StoreUrl = "firestore://p/".parse().expect("a URL");
        assert_eq!(slash, StoreUrl::firestore("p".into()));
    }

    #[test]
    fn an_invalid_url_names_the_reason_and_valid_ones() {
        for (url, reason) in [
            ("firestore:p", "`//` is missing"),
            ("firestore://", "the project is missing"),
            ("firestore://p/d/x", "nothing may follow the database"),
            ("mysql://p", "the scheme `mysql` is unknown"),
        ] {
            let error = url.parse::<StoreUrl>().expect_err("an invalid URL").to_string();
            assert!(
                error.contains(reason) && error.contains("firestore://PROJECT"),
                "{error}"
            );
        }
    }

    #[test]
    fn environment_variables_choose_the_store() {
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
            if HAS_FIRESTORE {
                firestore
            } else {
                "sqlite:oncetask.db"
            }
        };
        assert_eq!(chosen(&[project, emulator]), expected("firestore://p"));
        assert_eq!(chosen(&[emulator]), expected("firestore://demo-oncetask"));
    }

    #[test]
    fn either_variable_names_the_environment() {
        let chosen = |set: &[(&str, &str)]| {
            env_from_variables(|name| {
                let found = set.iter().find(|(of, _)| *of == name);
                Ok(found.map(|(_, value)| (*value).to_owned()))
            })
        };
        assert_eq!(chosen(&[]).unwrap(), DEFAULT_ENV);
        assert_eq!(chosen(&[("ONCE_TASK_ENV", "A")]).unwrap(), "A");
        assert_eq!(chosen(&[("ONCETASK_ENV", "B")]).unwrap(), "B");
        assert_eq!(
            chosen(&[("ONCE_TASK_ENV", "A"), ("ONCETASK_ENV", "A")]).unwrap(),
            "A"
        );
        let error = chosen(&[("ONCE_TASK_ENV", "A"), ("ONCETASK_ENV", "B")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`ONCE_TASK_ENV` is `A`, but `ONCETASK_ENV` is `B`: both name the environment, so unset one of them"
        );
    }
}
