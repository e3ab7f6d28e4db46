//! Hearing of the end of one task that somebody waits for.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;

use super::stream::{Heard, Target, listen};
use crate::store::firestore::inner::Inner;
use crate::task::TaskId;

/// How often to see whether somebody still waits.
const STILL_THERE: Duration = Duration::from_millis(500);
/// How often to look at the task when nobody listens: at first, and at the most.
const LOOK: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Tells whoever waits when the task ends.
pub(super) async fn attend(inner: Weak<Inner>, id: TaskId, waits: impl Fn() -> bool) {
    let Some((name, rpc, listens)) = inner.upgrade().and_then(|inner| {
        let name = inner.name(&id).ok()?;
        Some((name, inner.rpc.clone(), inner.settings.listen))
    }) else {
        return;
    };
    let stream = listens.then(|| rpc.task_streams.try_acquire().ok()).flatten();
    let gone = async {
        while waits() {
            sleep(STILL_THERE).await;
        }
    };
    let told = async {
        if stream.is_some() {
            hear(inner, &id, name).await;
        } else {
            look(inner, &id, &name).await;
        }
    };
    tokio::select! {
        () = gone => {}
        () = told => {}
    }
}

async fn hear(inner: Weak<Inner>, id: &TaskId, name: String) {
    let hear = |inner: &Inner, heard: Heard| match heard {
        Heard::Is(document) => {
            if inner
                .readable(*document)
                .is_some_and(|stored| stored.task.is_done())
            {
                inner.bell.ended(id);
            }
        }
        Heard::Gone(_) => inner.bell.ended(id),
        Heard::Void | Heard::UpToDate => {}
    };
    listen(inner, "a task that is waited for", Target::Document(name), hear).await;
}

async fn look(inner: Weak<Inner>, id: &TaskId, name: &str) {
    let (mut wait, longest) = LOOK;
    loop {
        sleep(wait).await;
        wait = (wait * 2).min(longest);
        let Some(inner) = inner.upgrade() else { return };
        if ended(&inner, name).await {
            inner.bell.ended(id);
            return;
        }
    }
}

async fn ended(inner: &Arc<Inner>, name: &str) -> bool {
    match inner.read_one(name).await {
        Ok(found) => found.is_none_or(|stored| stored.task.is_done()),
        // Firestore does not answer; it is asked again.
        Err(_) => false,
    }
}
