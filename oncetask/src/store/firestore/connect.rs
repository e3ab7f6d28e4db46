//! Opening a store.

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

use super::FirestoreStore;
use super::errors::{Place, Trouble};
use super::inner::Inner;
use super::link::Link;
use super::options::FirestoreOptions;
use super::proto::Timestamp;
use super::rpc::Rpc;
use super::writer::Writer;
use crate::error::StoreError;

const EMULATOR: &str = "FIRESTORE_EMULATOR_HOST";
const KEY_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// A document that nobody writes: reading it tells whether the database answers.
const PING: &str = "oncetask-ping";

pub(super) async fn connect(options: FirestoreOptions, env: String) -> Result<FirestoreStore, StoreError> {
    let emulator = options.emulator.clone().or_else(emulator_of_environment);
    let place = Place {
        project: options.project.clone(),
        database: options.database.clone(),
        emulator,
    };
    check(&options, &env, &place)?;
    check_key_file(&place)?;
    let link = Link::start().map_err(|error| place.error(Trouble::Thread(error.to_string())))?;
    let opening = open(options, env, place.clone());
    let inner = link
        .run(opening)
        .await
        .map_err(|broken| place.error(Trouble::Broken(broken)))??;
    Ok(FirestoreStore {
        link: Arc::new(link),
        inner,
        place: Arc::new(place),
    })
}

fn emulator_of_environment() -> Option<String> {
    env::var(EMULATOR).ok().filter(|host| !host.is_empty())
}

fn check(options: &FirestoreOptions, env: &str, place: &Place) -> Result<(), StoreError> {
    let collection = &options.settings.collection;
    let wrong = if options.project.is_empty() {
        "the project is missing: write `firestore://PROJECT`, or set GOOGLE_CLOUD_PROJECT"
    } else if options.project.contains('/') || options.database.contains('/') {
        "a project or database has no `/` in its name"
    } else if collection.is_empty() || collection.contains('/') {
        "a collection has a name, and no `/` in it"
    } else if env.is_empty() {
        "the environment is empty"
    } else {
        return Ok(());
    };
    Err(place.error(Trouble::Wrong(wrong.to_owned())))
}

/// The key file that is named must be there. Asked for only once the connection stands, it would be missed with
/// less to say.
fn check_key_file(place: &Place) -> Result<(), StoreError> {
    let named = env::var_os(KEY_FILE).filter(|_| place.emulator.is_none());
    match named.map(PathBuf::from).filter(|file| !file.is_file()) {
        None => Ok(()),
        Some(file) => {
            let why = format!(
                "{KEY_FILE} names `{}`, which is no credentials file",
                file.display()
            );
            Err(place.error(Trouble::Credentials(why)))
        }
    }
}

async fn open(options: FirestoreOptions, env: String, place: Place) -> Result<Arc<Inner>, StoreError> {
    // Two providers may be compiled in by the rest of the program; then one must be chosen, once.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let connected = in_time(&options, &place).await;
    let db = connected.map_err(|error| place.error(Trouble::Connect(error)))?;
    let again = (options.clone(), place.clone());
    let open = Box::new(move || {
        let (options, place) = again.clone();
        let opening = async move { Ok(in_time(&options, &place).await?.client().get()) };
        Box::pin(opening) as _
    });
    let rpc = Arc::new(Rpc::new(&db, open, options.patience));
    let writer = Writer::new(rpc.clone());
    let inner = Inner::new(&env, &place.address(), options.settings, rpc, writer);
    let ping = format!("{}/{}/{PING}", inner.rpc.documents(), inner.settings.collection);
    let before = Utc::now();
    let answer = inner.rpc.ping(&ping).await;
    let theirs = answer.map_err(|failure| place.error(Trouble::Request(failure)))?;
    warn_of_clocks(before, theirs, Utc::now());
    Ok(Arc::new(inner))
}

/// Leases compare instants of different clocks: one that is wrong is worth knowing of.
fn warn_of_clocks(before: DateTime<Utc>, theirs: Option<Timestamp>, after: DateTime<Utc>) {
    const TOLERATED: TimeDelta = TimeDelta::seconds(1);
    let nanos = |at: Timestamp| u32::try_from(at.nanos).unwrap_or_default();
    let Some(theirs) = theirs.and_then(|at| DateTime::from_timestamp(at.seconds, nanos(at))) else {
        return;
    };
    if theirs < before - TOLERATED || theirs > after + TOLERATED {
        tracing::warn!(
            ours = %after, %theirs,
            "the clocks of this computer and of Firestore differ by more than a second; leases and schedules \
             need clocks that agree"
        );
    }
}

async fn in_time(options: &FirestoreOptions, place: &Place) -> Result<FirestoreDb, String> {
    match timeout(options.patience.attempt, database(options, place)).await {
        Ok(connected) => connected.map_err(|error| error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

async fn database(
    options: &FirestoreOptions,
    place: &Place,
) -> Result<FirestoreDb, ::firestore::errors::FirestoreError> {
    let db = FirestoreDbOptions::new(options.project.clone()).with_database_id(options.database.clone());
    let Some(emulator) = &place.emulator else {
        return FirestoreDb::with_options(db).await;
    };
    let url = if emulator.contains("://") {
        emulator.clone()
    } else {
        format!("http://{emulator}")
    };
    let owner = Credentials::from(Owner(EntityTag::new()));
    FirestoreDb::with_options_auth(db.with_firebase_api_url(url), owner).await
}

/// What the emulator takes for credentials.
#[derive(Debug)]
struct Owner(EntityTag);

impl CredentialsProvider for Owner {
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
