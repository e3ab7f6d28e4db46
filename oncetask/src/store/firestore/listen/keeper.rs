//! Who opens and closes the streams of an environment, and polls.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::{WORKING, cancellations, head, poll};
use crate::store::firestore::find::MAX_IN;
use crate::store::firestore::inner::Inner;

/// How often to look whether streams are to be opened or closed: while handlers run, and while nothing does.
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How long the stream of cancellations stays open when no handler runs for long any more.
const LINGER: Duration = Duration::from_secs(30);

/// A stream that is closed when this is dropped.
struct Open(JoinHandle<()>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Default)]
struct Streams {
    heads: HashMap<Vec<String>, Open>,
    opened: Option<Instant>,
    cancellations: Option<Open>,
    /// When a claim was last held for long.
    long: Option<Instant>,
    /// When cancellations were last asked for.
    asked: Option<Instant>,
    polled: Option<Instant>,
    next_poll: Duration,
}

/// Keeps the streams as they should be, until nobody waits for kinds any more.
pub(super) async fn keep(inner: Weak<Inner>) {
    let mut streams = Streams::default();
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let kinds = strong.notifier.kinds();
        if kinds.is_empty() && leaves(&strong) {
            return;
        }
        streams.poll(&strong, &kinds);
        if strong.settings.listen {
            let works = strong.ears.is_working(strong.writer.is_busy());
            streams.listen_for_heads(&strong, if works { Vec::new() } else { kinds });
            streams.listen_for_cancellations(&strong, works);
        }
        let (busy, idle) = LOOK;
        let pause = if streams.is_settled(&strong) { idle } else { busy };
        let changed = strong.ears.changed.notified();
        // Either way it is time to look.
        let _ = timeout(pause, changed).await;
    }
}

/// Ends the keeper, unless somebody has come meanwhile.
fn leaves(inner: &Inner) -> bool {
    let mut state = inner.ears.state();
    let nobody = inner.notifier.kinds().is_empty();
    state.has_keeper = !nobody;
    nobody
}

impl Streams {
    fn poll(&mut self, inner: &Arc<Inner>, kinds: &[String]) {
        let now = Instant::now();
        match self.polled {
            Some(last) if last + self.next_poll > now => return,
            Some(_) => {
                tokio::spawn(poll::poll(inner.clone(), kinds.to_vec()));
            }
            None => {}
        }
        self.polled = Some(now);
        self.next_poll = inner.settings.poll_every.mul_f64(0.9 + fastrand::f64() / 5.0);
    }

    fn listen_for_heads(&mut self, inner: &Arc<Inner>, kinds: Vec<String>) {
        let wanted: Vec<Vec<String>> = inner
            .ears
            .worth_hearing(kinds)
            .chunks(MAX_IN)
            .map(<[String]>::to_vec)
            .collect();
        self.heads.retain(|kinds, _| wanted.contains(kinds));
        let too_soon = self.opened.is_some_and(|last| last.elapsed() < WORKING.0) || !inner.ears.may_open();
        for kinds in wanted {
            if !self.heads.contains_key(&kinds) && !too_soon {
                let stream = tokio::spawn(head::follow(Arc::downgrade(inner), kinds.clone()));
                self.heads.insert(kinds, Open(stream));
                self.opened = Some(Instant::now());
            }
        }
    }

    fn listen_for_cancellations(&mut self, inner: &Arc<Inner>, works: bool) {
        inner.ears.state().told.retain(|name| inner.held.holds(name));
        let is_long = inner.held.oldest().is_some_and(|age| age >= cancellations::LONG);
        if is_long {
            self.long = Some(Instant::now());
        }
        let lingers = self.long.is_some_and(|last| last.elapsed() <= LINGER);
        if !lingers || works {
            self.cancellations = None;
            if is_long && self.asked.is_none_or(|last| last.elapsed() >= cancellations::ASK) {
                self.asked = Some(Instant::now());
                tokio::spawn(cancellations::ask(inner.clone()));
            }
        } else if self.cancellations.is_none() {
            let stream = tokio::spawn(cancellations::follow(Arc::downgrade(inner)));
            self.cancellations = Some(Open(stream));
        }
    }

    /// Whether nothing is about to be opened or closed.
    fn is_settled(&self, inner: &Inner) -> bool {
        let waits = inner.held.oldest().is_some() && self.cancellations.is_none();
        let polls_soon = self.next_poll < Duration::from_secs(1);
        !waits && !polls_soon && !self.heads.is_empty()
    }
}
