//! Opening a connection to a database.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use ::firestore::gcloud_sdk::google_cloud_auth::credentials::{
    CacheableResource, Credentials, CredentialsProvider, EntityTag,
};
use ::firestore::gcloud_sdk::google_cloud_auth::errors::CredentialsError;
use ::firestore::gcloud_sdk::tonic::codegen::http::Extensions;
use ::firestore::gcloud_sdk::tonic::codegen::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use ::firestore::{FirestoreDb, FirestoreDbOptions};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::timeout;

use super::documents::Documents;
use super::error::{DatabaseAddress, ErrorCause};
use super::options::FirestoreOptions;
use super::proto::Timestamp;
use super::rpc::Rpc;
use super::runtime_thread::RuntimeThread;
use super::writer::Writer;
use crate::error::StoreError;

const EMULATOR: &str = "FIRESTORE_EMULATOR_HOST";
const KEY_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// The id of a document that is never written. Reading it shows whether the database answers.
const PING: &str = "oncetask-ping";
/// The maximum difference between two clocks that does not cause a warning.
const TOLERATED_CLOCK_DIFFERENCE: TimeDelta = TimeDelta::seconds(1);

/// A connection to a database that answers.
pub(super) struct Connected {
    pub(super) thread: RuntimeThread,
    pub(super) documents: Documents,
    pub(super) address: DatabaseAddress,
}

/// Connects to the database, and checks that it answers.
///
/// # Errors
///
/// Returns an error if an option is invalid or the database cannot be used.
pub(super) async fn connect(options: FirestoreOptions, env: String) -> Result<Connected, StoreError> {
    let emulator = options.emulator.clone().or_else(emulator_from_environment);
    let address = DatabaseAddress {
        project: options.project.clone(),
        database: options.database.clone(),
        emulator,
    };
    check_options(&options, &env, &address)?;
    check_key_file(&address)?;
    let thread =
        RuntimeThread::start().map_err(|error| address.error(ErrorCause::ThreadStart(error.to_string())))?;
    let opening = open(options, env, address.clone());
    let documents = thread
        .run(opening)
        .await
        .map_err(|error| address.error(ErrorCause::Thread(error)))??;
    Ok(Connected {
        thread,
        documents,
        address,
    })
}

fn emulator_from_environment() -> Option<String> {
    env::var(EMULATOR).ok().filter(|host| !host.is_empty())
}

fn check_options(options: &FirestoreOptions, env: &str, address: &DatabaseAddress) -> Result<(), StoreError> {
    let collection = &options.settings.collection;
    let reason = if options.project.is_empty() {
        "the project is missing: write `firestore://PROJECT`, or set GOOGLE_CLOUD_PROJECT"
    } else if options.project.contains('/') || options.database.contains('/') {
        "the name of a project or database must not contain `/`"
    } else if collection.is_empty() || collection.contains('/') {
        "the name of a collection must not be empty or contain `/`"
    } else if env.is_empty() {
        "the environment must not be empty"
    } else {
        return Ok(());
    };
    Err(address.error(ErrorCause::InvalidOption(reason.to_owned())))
}

/// Checks that the key file that the environment names exists. The client would only report later that it has no
/// credentials, without the file's name.
fn check_key_file(address: &DatabaseAddress) -> Result<(), StoreError> {
    let named = env::var_os(KEY_FILE).filter(|_| address.emulator.is_none());
    match named.map(PathBuf::from).filter(|file| !file.is_file()) {
        None => Ok(()),
        Some(file) => {
            let reason = format!(
                "{KEY_FILE} names `{}`, which is not a credentials file",
                file.display()
            );
            Err(address.error(ErrorCause::Credentials(reason)))
        }
    }
}

async fn open(
    options: FirestoreOptions,
    env: String,
    address: DatabaseAddress,
) -> Result<Documents, StoreError> {
    // If the rest of the program compiles in a second provider, one of them must be chosen. An error means that
    // one was chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let connected = database_in_time(&options, &address).await;
    let db = connected.map_err(|error| address.error(ErrorCause::Connect(error)))?;
    let again = (options.clone(), address.clone());
    let reconnect = Box::new(move || {
        let (options, address) = again.clone();
        let opening = async move { Ok(database_in_time(&options, &address).await?.client().get()) };
        Box::pin(opening) as _
    });
    let rpc = Arc::new(Rpc::new(&db, reconnect, options.deadlines));
    let writer = Writer::new(rpc.clone());
    let documents = Documents::new(&env, &address.url(), options.settings, rpc, writer);
    let ping = format!(
        "{}/{}/{PING}",
        documents.rpc.documents(),
        documents.settings.collection
    );
    let sent = Utc::now();
    let answer = documents.rpc.ping(&ping).await;
    let server_time = answer.map_err(|failure| address.error(ErrorCause::Request(failure)))?;
    warn_if_clocks_differ(sent, server_time, Utc::now());
    Ok(documents)
}

/// Warns if the server's time does not lie between the request and its answer, because leases compare instants of
/// different clocks.
fn warn_if_clocks_differ(sent: DateTime<Utc>, server_time: Option<Timestamp>, answered: DateTime<Utc>) {
    let nanos = |at: Timestamp| u32::try_from(at.nanos).unwrap_or_default();
    let Some(theirs) = server_time.and_then(|at| DateTime::from_timestamp(at.seconds, nanos(at))) else {
        return;
    };
    if theirs < sent - TOLERATED_CLOCK_DIFFERENCE || theirs > answered + TOLERATED_CLOCK_DIFFERENCE {
        tracing::warn!(
            ours = %answered, %theirs,
            "the clocks of this computer and of Firestore differ by more than a second; leases and schedules \
             need clocks that agree"
        );
    }
}

async fn database_in_time(
    options: &FirestoreOptions,
    address: &DatabaseAddress,
) -> Result<FirestoreDb, String> {
    match timeout(options.deadlines.attempt, database(options, address)).await {
        Ok(connected) => connected.map_err(|error| error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

async fn database(
    options: &FirestoreOptions,
    address: &DatabaseAddress,
) -> Result<FirestoreDb, ::firestore::errors::FirestoreError> {
    let db = FirestoreDbOptions::new(options.project.clone()).with_database_id(options.database.clone());
    let Some(emulator) = &address.emulator else {
        return FirestoreDb::with_options(db).await;
    };
    let url = if emulator.contains("://") {
        emulator.clone()
    } else {
        format!("http://{emulator}")
    };
    let owner = Credentials::from(EmulatorOwner(EntityTag::new()));
    FirestoreDb::with_options_auth(db.with_firebase_api_url(url), owner).await
}

/// The credentials that the emulator accepts.
#[derive(Debug)]
struct EmulatorOwner(EntityTag);

impl CredentialsProvider for EmulatorOwner {
    async fn headers(&self, known: Extensions) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        if known.get::<EntityTag>() == Some(&self.0) {
            return Ok(CacheableResource::NotModified);
        }
        let owner = HeaderValue::from_static("Bearer owner");
        Ok(CacheableResource::New {
            entity_tag: self.0.clone(),
            data: HeaderMap::from_iter([(AUTHORIZATION, owner)]),
        })
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}
