//! Hearing of the end of one task that somebody waits for.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;

use super::stream::{Heard, Target, listen};
use crate::store::firestore::inner::Inner;
use crate::task::TaskId;

/// How often to see whether somebody still waits.
const STILL_THERE: Duration = Duration::from_millis(500);
/// After what time to look at the task when nobody listens: at first, and at the most.
const LOOK: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// After what time to look for the first time beside a stream. It may be deaf; and the emulator now and then begins one
/// with what was stored before a write, and never tells of that write.
const LOOK_BESIDE: Duration = Duration::from_secs(5);

/// Tells whoever waits when the task ends.
pub(super) async fn attend(inner: Weak<Inner>, id: TaskId, waits: impl Fn() -> bool) {
    let Some((name, rpc, listens, poll_every)) = inner.upgrade().and_then(|inner| {
        let name = inner.name(&id).ok()?;
        let settings = &inner.settings;
        Some((name, inner.rpc.clone(), settings.listen, settings.poll_every))
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
            let beside = (LOOK_BESIDE.min(poll_every), poll_every);
            let looking = look(inner.clone(), &id, &name, beside);
            tokio::join!(hear(inner, &id, name.clone()), looking);
        } else {
            look(inner, &id, &name, LOOK).await;
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
                inner.notifier.notify_ended(id);
            }
        }
        Heard::Gone(_) => inner.notifier.notify_ended(id),
        Heard::Void | Heard::UpToDate => {}
    };
    listen(inner, "a task that is waited for", Target::Document(name), hear).await;
}

/// Looks now and then, for as long as the store is there: who was told of the end may wait on, for a task that was
/// reset since.
async fn look(inner: Weak<Inner>, id: &TaskId, name: &str, (first, longest): (Duration, Duration)) {
    let mut wait = first;
    loop {
        sleep(wait).await;
        wait = (wait * 2).min(longest);
        let Some(inner) = inner.upgrade() else { return };
        if ended(&inner, name).await {
            inner.notifier.notify_ended(id);
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
