//! The end of one task that a subscriber waits for.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::sleep;

use super::Listener;
use super::stream::{ListenEvent, Target, listen};
use crate::store::firestore::documents::Documents;
use crate::task::TaskId;

/// The interval at which to check whether the subscription still exists.
const SUBSCRIPTION_CHECK: Duration = Duration::from_millis(500);

/// The first and the longest interval between two reads of the task if no stream listens to it.
const READ_INTERVALS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// The first interval before a read of the task while a stream listens to it. The stream may be dead. The emulator
/// sometimes begins a stream with the state before a write, and never reports that write.
const FIRST_READ_WITH_STREAM: Duration = Duration::from_secs(5);

/// Notifies the subscribers of a task when it ends, while the subscription exists.
pub(super) async fn listen_for_end(listener: Weak<Listener>, id: TaskId, is_awaited: impl Fn() -> bool) {
    let Some((name, documents)) = listener.upgrade().and_then(|listener| {
        let name = listener.documents.name(&id).ok()?;
        Some((name, listener.documents.clone()))
    }) else {
        return;
    };
    let (rpc, poll_every) = (documents.rpc.clone(), documents.settings.poll_every);
    let listens = documents.settings.listen;
    drop(documents);
    let stream_permit = listens.then(|| rpc.task_streams.try_acquire().ok()).flatten();
    let unsubscribed = async {
        while is_awaited() {
            sleep(SUBSCRIPTION_CHECK).await;
        }
    };
    let watching = async {
        if stream_permit.is_some() {
            let intervals = (FIRST_READ_WITH_STREAM.min(poll_every), poll_every);
            let reading = read_repeatedly(listener.clone(), &id, &name, intervals);
            tokio::join!(follow(listener, &id, name.clone()), reading);
        } else {
            read_repeatedly(listener, &id, &name, READ_INTERVALS).await;
        }
    };
    tokio::select! {
        () = unsubscribed => {}
        () = watching => {}
    }
}

async fn follow(listener: Weak<Listener>, id: &TaskId, name: String) {
    let on_event = |listener: &Listener, event: ListenEvent| {
        let documents = &listener.documents;
        let has_ended = match event {
            ListenEvent::Changed(document) => documents
                .decode_or_warn(*document)
                .is_some_and(|stored| stored.task.is_done()),
            ListenEvent::Removed(_) => true,
            ListenEvent::Reset | ListenEvent::UpToDate => false,
        };
        if has_ended {
            documents.notifier.notify_ended(id);
        }
    };
    listen(
        listener,
        "a task that is waited for",
        Target::Document(name),
        on_event,
    )
    .await;
}

/// Reads the task at growing intervals, and notifies its subscribers each time that it has ended. A subscriber may
/// continue to wait after a notification, because the task may have been reset.
async fn read_repeatedly(
    listener: Weak<Listener>,
    id: &TaskId,
    name: &str,
    (first, longest): (Duration, Duration),
) {
    let mut interval = first;
    loop {
        sleep(interval).await;
        interval = (interval * 2).min(longest);
        let Some(listener) = listener.upgrade() else {
            return;
        };
        if has_ended(&listener.documents, name).await {
            listener.documents.notifier.notify_ended(id);
        }
    }
}

async fn has_ended(documents: &Documents, name: &str) -> bool {
    match documents.read_one(name).await {
        Ok(found) => found.is_none_or(|stored| stored.task.is_done()),
        // Firestore does not answer; the task is read again.
        Err(_) => false,
    }
}
