//! One stream with one target, opened again when it ends.

use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::{Instant, sleep, timeout};

use crate::store::firestore::find::Find;
use crate::store::firestore::inner::Inner;
use crate::store::firestore::proto::{Code, Status, pb};
use crate::store::firestore::retry::Failure;
use pb::listen_response::ResponseType;
use pb::target_change::TargetChangeType;

/// How long a stream may say nothing until it is taken for dead.
const SILENCE: Duration = Duration::from_mins(5);
const SILENCE_OF_QUEUE: Duration = Duration::from_mins(30);
/// How long to wait until a stream is opened again: at first, and at the most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
const TARGET_ID: i32 = 1;

/// What a stream tells.
#[derive(Debug)]
pub(super) enum Heard {
    /// The document belongs to what is listened for, in this state.
    Is(Box<pb::Document>),
    /// The document does not any more.
    Gone(String),
    /// What was told before is void; all that belongs to it follows.
    Void,
    /// All has been told.
    UpToDate,
}

/// What is listened for.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// The head of the queue.
    Queue(Box<Find>),
    Query(Box<Find>),
    Document(String),
}

impl Target {
    fn find(&self) -> Option<&Find> {
        match self {
            Self::Queue(find) | Self::Query(find) => Some(find),
            Self::Document(_) => None,
        }
    }

    /// How long it may be silent. To listen anew is billed as a read, and who polls the queue anyhow finds soon enough
    /// what a dead stream did not tell.
    fn silence(&self) -> Duration {
        match self {
            Self::Queue(_) => SILENCE_OF_QUEUE,
            Self::Query(_) | Self::Document(_) => SILENCE,
        }
    }
}

/// Listens, and opens the stream again when it ends, for as long as the store is there. What opens it again
/// starts with [`Heard::Void`]; `hear` runs after each thing heard.
///
/// # Cancel safety
///
/// Dropping the future closes the stream.
pub(super) async fn listen(
    inner: Weak<Inner>,
    name: &str,
    target: Target,
    mut hear: impl FnMut(&Inner, Heard),
) {
    let (first, longest) = AGAIN;
    let mut wait = first;
    loop {
        let opened = Instant::now();
        let ended = follow(&inner, &target, &mut hear).await;
        let Some(inner) = inner.upgrade() else { return };
        hear(&inner, Heard::Void);
        let age = opened.elapsed();
        if age > longest {
            wait = first;
        }
        if is_refusal(&ended) {
            wait = longest;
        }
        report(&inner, name, &target, &ended, age);
        drop(inner);
        sleep(wait.mul_f64(0.5 + fastrand::f64())).await;
        wait = (wait * 2).min(longest);
    }
}

/// Whether it will end in the same way again: an index or a permission is missing.
fn is_refusal(ended: &Status) -> bool {
    use Code::{FailedPrecondition, InvalidArgument, PermissionDenied, Unauthenticated};
    matches!(
        ended.code(),
        FailedPrecondition | InvalidArgument | PermissionDenied | Unauthenticated
    )
}

fn report(inner: &Inner, name: &str, target: &Target, ended: &Status, age: Duration) {
    let (store, age) = (inner.address.as_str(), age.as_secs());
    if !is_refusal(ended) {
        let why = ended.message();
        tracing::debug!(
            store,
            age,
            "the listener for {name} ended after {age} s and is opened again: {why}"
        );
        return;
    }
    let mut failure = Failure::new("listening", ended, false);
    if let Some(find) = target.find() {
        failure = inner.with_index(failure, find);
    }
    let why = failure.message;
    tracing::error!(
        store,
        age,
        "the listener for {name} is refused, and other processes are heard of by polling only: {why}"
    );
}

/// Follows one stream to its end.
async fn follow(inner: &Weak<Inner>, target: &Target, hear: &mut impl FnMut(&Inner, Heard)) -> Status {
    let gone = || Status::cancelled("the store was dropped");
    let opening = match inner.upgrade() {
        Some(inner) => inner.rpc.listen(Asking(Some(request(&inner, target)))).await,
        None => return gone(),
    };
    let mut stream = match opening {
        Ok(stream) => stream,
        Err(status) => return status,
    };
    loop {
        let message = match timeout(target.silence(), stream.message()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return Status::unavailable("the server closed it"),
            Ok(Err(status)) => return status,
            Err(_) => return Status::unavailable("it was silent for too long"),
        };
        let Some(inner) = inner.upgrade() else {
            return gone();
        };
        match heard(&inner, message) {
            Ok(Some(told)) => hear(&inner, told),
            Ok(None) => {}
            Err(status) => return status,
        }
    }
}

/// What is sent on a stream: what to listen for, and then nothing more until it is dropped.
struct Asking(Option<pb::ListenRequest>);

impl Stream for Asking {
    type Item = pb::ListenRequest;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.take() {
            Some(request) => Poll::Ready(Some(request)),
            None => Poll::Pending,
        }
    }
}

fn request(inner: &Inner, target: &Target) -> pb::ListenRequest {
    use pb::target::{DocumentsTarget, QueryTarget, TargetType, query_target::QueryType};
    let target = match target {
        Target::Queue(query) | Target::Query(query) => TargetType::Query(QueryTarget {
            parent: inner.rpc.documents().to_owned(),
            query_type: Some(QueryType::StructuredQuery(query.of(&inner.settings.collection))),
        }),
        Target::Document(name) => TargetType::Documents(DocumentsTarget {
            documents: vec![name.clone()],
        }),
    };
    pb::ListenRequest {
        database: inner.rpc.database().to_owned(),
        target_change: Some(pb::listen_request::TargetChange::AddTarget(pb::Target {
            target_id: TARGET_ID,
            target_type: Some(target),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn heard(inner: &Inner, message: pb::ListenResponse) -> Result<Option<Heard>, Status> {
    let told = match message.response_type {
        Some(ResponseType::DocumentChange(change)) => {
            inner.rpc.meter.read(1);
            let removed = change.removed_target_ids.contains(&TARGET_ID);
            change.document.map(|document| {
                if removed {
                    Heard::Gone(document.name)
                } else {
                    Heard::Is(Box::new(document))
                }
            })
        }
        Some(ResponseType::DocumentDelete(gone)) => Some(Heard::Gone(gone.document)),
        Some(ResponseType::DocumentRemove(gone)) => Some(Heard::Gone(gone.document)),
        Some(ResponseType::TargetChange(change)) => match change.target_change_type() {
            TargetChangeType::Remove => {
                let cause = change.cause.unwrap_or_default();
                return Err(Status::new(Code::from(cause.code), cause.message));
            }
            TargetChangeType::Reset => Some(Heard::Void),
            TargetChangeType::Current => Some(Heard::UpToDate),
            TargetChangeType::NoChange if change.target_ids.is_empty() => Some(Heard::UpToDate),
            _ => None,
        },
        // The server counts differently than we: what is missing is found when all is told again.
        Some(ResponseType::Filter(_)) | None => None,
    };
    Ok(told)
}
