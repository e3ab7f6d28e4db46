//! The keeper of an environment's streams: it opens and closes them, and polls.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::state::WORKING_ALONE;
use super::{Listener, cancellations, poll, queue_head};
use crate::store::firestore::query::MAX_IN;

/// The interval between two checks while a stream is about to be opened or closed.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// The interval between two checks while nothing is about to change.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The minimum interval between two openings of queue streams. In this time claims show whether there is a backlog.
const MIN_OPEN_INTERVAL: Duration = WORKING_ALONE;
/// The duration for which the stream of cancellations stays open after the last long claim.
const LINGER: Duration = Duration::from_secs(30);

/// A running stream. It is closed when this is dropped.
struct RunningStream(JoinHandle<()>);

impl Drop for RunningStream {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Default)]
struct Streams {
    /// The streams of the heads of queues, by their kinds.
    queues: HashMap<Vec<String>, RunningStream>,
    /// The instant at which the last of them was opened.
    queue_opened: Option<Instant>,
    cancellations: Option<RunningStream>,
    /// The last instant at which there was a long claim.
    long_claim_seen: Option<Instant>,
    /// The instant of the last query for cancellations.
    cancellations_queried: Option<Instant>,
    polled: Option<Instant>,
    /// The interval from the last poll to the next.
    poll_interval: Duration,
}

/// Opens and closes streams, and polls, while there are subscribers to kinds.
pub(super) async fn keep(listener: Weak<Listener>) {
    let mut streams = Streams::default();
    loop {
        let Some(listener) = listener.upgrade() else {
            return;
        };
        let kinds = listener.documents.notifier.kinds();
        if kinds.is_empty() && stops(&listener) {
            return;
        }
        streams.poll(&listener, &kinds);
        if listener.documents.settings.listen {
            let is_writing = listener.documents.writer.is_busy();
            let has_backlog = listener.state().has_backlog(is_writing);
            streams.listen_to_queues(&listener, if has_backlog { Vec::new() } else { kinds });
            streams.listen_for_cancellations(&listener, has_backlog);
        }
        let interval = if streams.is_settled(&listener) {
            IDLE_CHECK_INTERVAL
        } else {
            CHECK_INTERVAL
        };
        // The check is due after a change or after the interval, whichever comes first.
        let _ = timeout(interval, listener.changed.notified()).await;
    }
}

/// Ends the keeper, unless a subscriber was added in the meantime. Returns whether the keeper ends.
fn stops(listener: &Listener) -> bool {
    let mut state = listener.state();
    let has_subscribers = !listener.documents.notifier.kinds().is_empty();
    state.has_keeper = has_subscribers;
    !has_subscribers
}

impl Streams {
    fn poll(&mut self, listener: &Arc<Listener>, kinds: &[String]) {
        let now = Instant::now();
        match self.polled {
            Some(last) if last + self.poll_interval > now => return,
            Some(_) => {
                let documents = listener.documents.clone();
                tokio::spawn(poll::poll(documents, kinds.to_vec()));
            }
            None => {}
        }
        self.polled = Some(now);
        let poll_every = listener.documents.settings.poll_every;
        self.poll_interval = poll_every.mul_f64(0.9 + fastrand::f64() / 5.0);
    }

    fn listen_to_queues(&mut self, listener: &Arc<Listener>, kinds: Vec<String>) {
        let (kinds, is_claiming) = {
            let state = listener.state();
            (state.kinds_without_backlog(kinds), state.claims_in_progress > 0)
        };
        let wanted: Vec<Vec<String>> = kinds.chunks(MAX_IN).map(<[String]>::to_vec).collect();
        self.queues.retain(|kinds, _| wanted.contains(kinds));
        let is_too_soon = self
            .queue_opened
            .is_some_and(|last| last.elapsed() < MIN_OPEN_INTERVAL);
        if is_too_soon || is_claiming {
            return;
        }
        for kinds in wanted {
            if let Entry::Vacant(vacant) = self.queues.entry(kinds) {
                let stream = queue_head::follow(Arc::downgrade(listener), vacant.key().clone());
                vacant.insert(RunningStream(tokio::spawn(stream)));
                self.queue_opened = Some(Instant::now());
            }
        }
    }

    fn listen_for_cancellations(&mut self, listener: &Arc<Listener>, has_backlog: bool) {
        let claim_cache = &listener.documents.claim_cache;
        listener
            .state()
            .notified_cancellations
            .retain(|name| claim_cache.contains_document(name));
        let has_long_claim = claim_cache
            .oldest_age()
            .is_some_and(|age| age >= cancellations::LONG_CLAIM);
        if has_long_claim {
            self.long_claim_seen = Some(Instant::now());
        }
        let lingers = self.long_claim_seen.is_some_and(|last| last.elapsed() <= LINGER);
        if !lingers || has_backlog {
            self.cancellations = None;
            let is_query_due = self
                .cancellations_queried
                .is_none_or(|last| last.elapsed() >= cancellations::QUERY_INTERVAL);
            if has_long_claim && is_query_due {
                self.cancellations_queried = Some(Instant::now());
                tokio::spawn(cancellations::query(listener.clone()));
            }
        } else if self.cancellations.is_none() {
            let stream = tokio::spawn(cancellations::follow(Arc::downgrade(listener)));
            self.cancellations = Some(RunningStream(stream));
        }
    }

    /// Returns whether no stream is about to be opened or closed, and no poll is due soon.
    fn is_settled(&self, listener: &Listener) -> bool {
        let has_claims = listener.documents.claim_cache.oldest_age().is_some();
        let waits_for_stream = has_claims && self.cancellations.is_none();
        let polls_soon = self.poll_interval < Duration::from_secs(1);
        !waits_for_stream && !polls_soon && !self.queues.is_empty()
    }
}
