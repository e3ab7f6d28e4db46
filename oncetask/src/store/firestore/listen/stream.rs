//! One stream with one target, opened again when it ends.

use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::{Instant, sleep, timeout};

use super::Listener;
use crate::store::firestore::documents::Documents;
use crate::store::firestore::proto::{Code, Status, pb};
use crate::store::firestore::query::DocumentQuery;
use crate::store::firestore::retry::Failure;
use pb::listen_response::ResponseType;
use pb::target_change::TargetChangeType;

/// The duration of silence after which a stream is assumed to be dead.
const MAX_SILENCE: Duration = Duration::from_mins(5);
const MAX_SILENCE_OF_QUEUE: Duration = Duration::from_mins(30);
/// The first and the longest wait before a stream is opened again.
const REOPEN_WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
const TARGET_ID: i32 = 1;

/// An event of a stream.
#[derive(Debug)]
pub(super) enum ListenEvent {
    /// A document of the target was created or changed.
    Changed(Box<pb::Document>),
    /// The document with this name was deleted, or does not belong to the target any more.
    Removed(String),
    /// Everything reported so far is void; all documents of the target follow.
    Reset,
    /// All documents of the target have been reported.
    UpToDate,
}

/// The target of a stream.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// The head of a queue.
    Queue(Box<DocumentQuery>),
    Query(Box<DocumentQuery>),
    /// The document with this name.
    Document(String),
}

impl Target {
    fn query(&self) -> Option<&DocumentQuery> {
        match self {
            Self::Queue(query) | Self::Query(query) => Some(query),
            Self::Document(_) => None,
        }
    }

    /// Returns the duration of silence after which the stream is assumed to be dead. Opening a stream again is
    /// billed as a read. For a queue it can wait, because the poll finds the changes that a dead stream misses.
    fn max_silence(&self) -> Duration {
        match self {
            Self::Queue(_) => MAX_SILENCE_OF_QUEUE,
            Self::Query(_) | Self::Document(_) => MAX_SILENCE,
        }
    }
}

/// Listens, and opens the stream again when it ends, for as long as the store exists. Calls `on_event` for each
/// event; each new stream begins with [`ListenEvent::Reset`]. `name` names the target in log messages.
///
/// # Cancel safety
///
/// Dropping the future closes the stream.
pub(super) async fn listen(
    listener: Weak<Listener>,
    name: &str,
    target: Target,
    mut on_event: impl FnMut(&Listener, ListenEvent),
) {
    let (first, longest) = REOPEN_WAITS;
    let mut wait = first;
    loop {
        let opened = Instant::now();
        let status = follow(&listener, &target, &mut on_event).await;
        let Some(listener) = listener.upgrade() else {
            return;
        };
        on_event(&listener, ListenEvent::Reset);
        let age = opened.elapsed();
        if age > longest {
            wait = first;
        }
        if is_refusal(&status) {
            wait = longest;
        }
        log_end(&listener.documents, name, &target, &status, age);
        drop(listener);
        sleep(wait.mul_f64(0.5 + fastrand::f64())).await;
        wait = (wait * 2).min(longest);
    }
}

/// Returns whether the next stream will end in the same way: an index or a permission is missing.
fn is_refusal(status: &Status) -> bool {
    use Code::{FailedPrecondition, InvalidArgument, PermissionDenied, Unauthenticated};
    matches!(
        status.code(),
        FailedPrecondition | InvalidArgument | PermissionDenied | Unauthenticated
    )
}

fn log_end(documents: &Documents, name: &str, target: &Target, status: &Status, age: Duration) {
    let (store, age) = (documents.address.as_str(), age.as_secs());
    if !is_refusal(status) {
        let reason = status.message();
        tracing::debug!(
            store,
            age,
            "the listener for {name} ended after {age} s and is opened again: {reason}"
        );
        return;
    }
    let mut failure = Failure::new("listening", status, false);
    if let Some(query) = target.query() {
        failure = documents.explain_missing_index(failure, query);
    }
    let reason = failure.message;
    tracing::error!(
        store,
        age,
        "the listener for {name} was refused; until it is accepted, changes by other processes are found by \
         polling only: {reason}"
    );
}

/// Follows one stream until it ends. Returns the reason for its end.
async fn follow(
    listener: &Weak<Listener>,
    target: &Target,
    on_event: &mut impl FnMut(&Listener, ListenEvent),
) -> Status {
    let store_dropped = || Status::cancelled("the store was dropped");
    let opening = match listener.upgrade() {
        Some(listener) => {
            let request = request(&listener.documents, target);
            listener.documents.rpc.listen(OneRequest(Some(request))).await
        }
        None => return store_dropped(),
    };
    let mut stream = match opening {
        Ok(stream) => stream,
        Err(status) => return status,
    };
    loop {
        let message = match timeout(target.max_silence(), stream.message()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return Status::unavailable("the server closed the stream"),
            Ok(Err(status)) => return status,
            Err(_) => return Status::unavailable("the stream was silent for too long"),
        };
        let Some(listener) = listener.upgrade() else {
            return store_dropped();
        };
        match event_of(&listener.documents, message) {
            Ok(Some(event)) => on_event(&listener, event),
            Ok(None) => {}
            Err(status) => return status,
        }
    }
}

/// The requests sent on a stream: a single one, which names the target. The sequence does not end after it, because
/// its end would close the stream.
struct OneRequest(Option<pb::ListenRequest>);

impl Stream for OneRequest {
    type Item = pb::ListenRequest;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.take() {
            Some(request) => Poll::Ready(Some(request)),
            None => Poll::Pending,
        }
    }
}

fn request(documents: &Documents, target: &Target) -> pb::ListenRequest {
    use pb::target::{DocumentsTarget, QueryTarget, TargetType, query_target::QueryType};
    let target = match target {
        Target::Queue(query) | Target::Query(query) => TargetType::Query(QueryTarget {
            parent: documents.rpc.documents().to_owned(),
            query_type: Some(QueryType::StructuredQuery(
                query.to_proto(&documents.settings.collection),
            )),
        }),
        Target::Document(name) => TargetType::Documents(DocumentsTarget {
            documents: vec![name.clone()],
        }),
    };
    pb::ListenRequest {
        database: documents.rpc.database().to_owned(),
        target_change: Some(pb::listen_request::TargetChange::AddTarget(pb::Target {
            target_id: TARGET_ID,
            target_type: Some(target),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// Returns the event in a message of the server, if there is one.
///
/// # Errors
///
/// Returns the server's reason if it removed the target.
fn event_of(documents: &Documents, message: pb::ListenResponse) -> Result<Option<ListenEvent>, Status> {
    let event = match message.response_type {
        Some(ResponseType::DocumentChange(change)) => {
            documents.rpc.meter.read(1);
            let is_removed = change.removed_target_ids.contains(&TARGET_ID);
            change.document.map(|document| {
                if is_removed {
                    ListenEvent::Removed(document.name)
                } else {
                    ListenEvent::Changed(Box::new(document))
                }
            })
        }
        Some(ResponseType::DocumentDelete(change)) => Some(ListenEvent::Removed(change.document)),
        Some(ResponseType::DocumentRemove(change)) => Some(ListenEvent::Removed(change.document)),
        Some(ResponseType::TargetChange(change)) => match change.target_change_type() {
            TargetChangeType::Remove => {
                let cause = change.cause.unwrap_or_default();
                return Err(Status::new(Code::from(cause.code), cause.message));
            }
            TargetChangeType::Reset => Some(ListenEvent::Reset),
            TargetChangeType::Current => Some(ListenEvent::UpToDate),
            TargetChangeType::NoChange if change.target_ids.is_empty() => Some(ListenEvent::UpToDate),
            _ => None,
        },
        // A count of the server that differs from ours needs no handling: a missed change is found when all
        // documents are reported again.
        Some(ResponseType::Filter(_)) | None => None,
    };
    Ok(event)
}
