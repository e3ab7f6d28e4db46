//! Errors of a store, with the database and advice.

use super::proto::{Code, Status};
use super::retry::{Failure, Recovery, recovery};
use super::runtime_thread::ThreadError;
use crate::error::{StoreError, StoreErrorKind};

/// The address of a database, for error messages.
#[derive(Clone, Debug)]
pub(super) struct DatabaseAddress {
    pub(super) project: String,
    pub(super) database: String,
    /// The host of the emulator, if there is one.
    pub(super) emulator: Option<String>,
}

/// The cause of a [`StoreError`].
pub(super) enum ErrorCause {
    InvalidOption(String),
    /// The store's thread could not be started.
    ThreadStart(String),
    /// The store's thread failed.
    Thread(ThreadError),
    Credentials(String),
    Connect(String),
    Request(Failure),
}

impl DatabaseAddress {
    /// Returns the store's URL.
    pub(super) fn url(&self) -> String {
        match self.database.as_str() {
            "(default)" => format!("firestore://{}", self.project),
            database => format!("firestore://{}/{database}", self.project),
        }
    }

    pub(super) fn error(&self, cause: ErrorCause) -> StoreError {
        let status = match &cause {
            ErrorCause::Request(failure) => Some(Status::new(failure.code, failure.message.as_str())),
            _ => None,
        };
        let (kind, message) = match cause {
            ErrorCause::InvalidOption(reason) => (StoreErrorKind::Unusable, reason),
            ErrorCause::ThreadStart(reason) => (
                StoreErrorKind::Unusable,
                format!("the store's thread cannot be started: {reason}"),
            ),
            ErrorCause::Thread(error) => (StoreErrorKind::Unusable, error.to_string()),
            ErrorCause::Credentials(reason) => (StoreErrorKind::Unusable, no_credentials(&reason)),
            ErrorCause::Connect(reason) => self.cannot_connect(&reason),
            ErrorCause::Request(failure) => self.request_failed(&failure),
        };
        let error = StoreError::new(kind, self.url(), message);
        match status {
            Some(status) => error.with_source(status),
            None => error,
        }
    }

    fn cannot_connect(&self, reason: &str) -> (StoreErrorKind, String) {
        match &self.emulator {
            Some(_) => (
                StoreErrorKind::Unavailable,
                format!("{}: {reason}", self.no_emulator()),
            ),
            None if reason.contains("redential") => (StoreErrorKind::Unusable, no_credentials(reason)),
            None => (
                StoreErrorKind::Unavailable,
                format!("Firestore cannot be reached: {reason}"),
            ),
        }
    }

    fn no_emulator(&self) -> String {
        let host = self.emulator.as_deref().unwrap_or_default();
        format!(
            "no Firestore emulator answers at {host}; start it with `gcloud emulators firestore start \
             --host-port={host}`"
        )
    }

    fn request_failed(&self, failure: &Failure) -> (StoreErrorKind, String) {
        let Failure { code, message, .. } = failure;
        let kind = match recovery(*code) {
            Recovery::Retry | Recovery::RetryAmbiguous => StoreErrorKind::Unavailable,
            Recovery::Reread | Recovery::GiveUp => StoreErrorKind::Unusable,
        };
        let Self {
            project, database, ..
        } = self;
        let message = match code {
            Code::Unauthenticated => no_credentials(message),
            Code::PermissionDenied => format!(
                "permission denied: {message}; the worker's account needs the role `roles/datastore.user`: \
                 `gcloud projects add-iam-policy-binding {project} --member=serviceAccount:ACCOUNT \
                 --role=roles/datastore.user`"
            ),
            Code::NotFound => format!(
                "database `{database}` not found in project `{project}`: {message}; create it with `gcloud \
                 firestore databases create --project={project} --database='{database}' --location=LOCATION`"
            ),
            Code::Unavailable | Code::Unknown | Code::DeadlineExceeded if self.emulator.is_some() => {
                format!("{}: {message}", self.no_emulator())
            }
            Code::Unavailable | Code::Unknown | Code::DeadlineExceeded => {
                format!("Firestore does not answer: {message}")
            }
            Code::ResourceExhausted => format!("a limit of Firestore is reached: {message}"),
            _ => format!("{message} ({code:?})"),
        };
        (kind, message)
    }
}

fn no_credentials(reason: &str) -> String {
    format!(
        "no valid Google credentials: {reason}; on your own machine run `gcloud auth application-default login`; \
         on a server attach a service account or set GOOGLE_APPLICATION_CREDENTIALS to a key file; for the \
         emulator set FIRESTORE_EMULATOR_HOST"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(emulator: Option<&str>, code: Code, kind: &StoreErrorKind) -> String {
        let address = DatabaseAddress {
            project: "p".into(),
            database: "d".into(),
            emulator: emulator.map(Into::into),
        };
        let failure = Failure {
            code,
            message: "a query: why".into(),
            ambiguous: false,
        };
        let error = address.error(ErrorCause::Request(failure));
        assert_eq!(error.kind, *kind);
        let text = error.to_string();
        assert!(
            text.starts_with("firestore://p/d: ") && text.contains("why"),
            "{text}"
        );
        text
    }

    #[test]
    fn each_error_message_contains_advice() {
        use StoreErrorKind::{Unavailable, Unusable};
        for (code, kind, advice) in [
            (
                Code::Unauthenticated,
                Unusable,
                "gcloud auth application-default login",
            ),
            (Code::PermissionDenied, Unusable, "--role=roles/datastore.user"),
            (
                Code::NotFound,
                Unusable,
                "gcloud firestore databases create --project=p --database='d'",
            ),
            (Code::Unavailable, Unavailable, "Firestore does not answer"),
            (
                Code::ResourceExhausted,
                Unavailable,
                "limit of Firestore is reached",
            ),
            (Code::InvalidArgument, Unusable, "InvalidArgument"),
        ] {
            let text = message(None, code, &kind);
            assert!(text.contains(advice), "{text}");
        }
        let text = message(Some("h:1"), Code::Unavailable, &Unavailable);
        assert!(
            text.contains("gcloud emulators firestore start --host-port=h:1"),
            "{text}"
        );
    }
}
