//! What was read of a queue and not claimed yet.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::store::Want;
use crate::store::firestore::codec::{Stored, field};
use crate::store::firestore::find::MAX_IN;
use crate::store::firestore::inner::Inner;
use crate::store::firestore::proto::{pb, reference};
use crate::store::firestore::queries;
use crate::store::firestore::retry::Failure;

/// How long what was read is of use.
const FRESH: Duration = Duration::from_secs(1);
/// How many tasks are read at a time: at least, at the most, and when others compete for them.
const SIZES: (usize, usize, usize) = (32, 128, 256);
/// How many tasks that cannot be claimed yet are kept.
const MAX_KEPT: usize = 1024;

/// Tasks that were due, in the order in which they are to be claimed.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) tasks: VecDeque<Stored>,
    /// Where the queue goes on, if there may be more that is due.
    pub(super) behind: Option<Vec<pb::Value>>,
    as_of: DateTime<Utc>,
    read: Instant,
}

/// How many tasks to read for this much room.
pub(super) fn size(room: usize, contention: f64) -> usize {
    let (least, most, contended) = SIZES;
    if contention > super::lease::CONTENDED {
        contended
    } else {
        (2 * room).clamp(least, most)
    }
}

impl Window {
    fn empty(now: DateTime<Utc>) -> Self {
        Self {
            tasks: VecDeque::new(),
            behind: None,
            as_of: now,
            read: Instant::now(),
        }
    }

    pub(super) fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        let age = now - self.as_of;
        self.read.elapsed() < FRESH && TimeDelta::zero() <= age && age < TimeDelta::seconds(1)
    }

    /// A copy to look at.
    pub(super) fn peek(&self) -> Self {
        Self {
            tasks: self.tasks.clone(),
            behind: self.behind.clone(),
            ..*self
        }
    }

    /// Brings it into an order of chance, in which the tasks of a key stay in theirs.
    pub(super) fn spread(&mut self) {
        let seed = fastrand::u64(..);
        self.tasks.make_contiguous().sort_by_cached_key(|stored| {
            let task = &stored.task;
            let mut hasher = DefaultHasher::new();
            seed.hash(&mut hasher);
            match task.spec.held_key() {
                Some(key) => (task.kind(), key).hash(&mut hasher),
                None => stored.name.hash(&mut hasher),
            }
            (hasher.finish(), task.state.due(), task.spec.created_at)
        });
    }

    /// Whether there is anything left of it to look at.
    pub(super) fn is_used_up(&self) -> bool {
        (self.tasks.is_empty() && self.behind.is_none()) || self.tasks.len() > MAX_KEPT
    }

    /// Whether all of it is due before this instant.
    pub(super) fn is_before(&self, at: DateTime<Utc>) -> bool {
        let last = self.tasks.back().and_then(|stored| stored.task.state.due());
        last.is_some_and(|last| last <= at)
    }

    fn add(&mut self, mut tasks: Vec<Stored>) {
        tasks.sort_by_key(|stored| (stored.task.state.due(), stored.task.spec.created_at));
        self.tasks.extend(tasks);
    }
}

impl Inner {
    /// Reads the queues of several handlers at once, so that to find nothing costs one read.
    pub(super) async fn look_ahead(&self, wants: &[Want], now: DateTime<Utc>) -> Result<(), Failure> {
        let unknown = |want: &&Want| {
            let is_queued = want.claims > 0 && !want.generators_only;
            is_queued && (1..=MAX_IN).contains(&want.kinds.len()) && !self.has_window(&want.kinds, now)
        };
        let unknown: Vec<_> = wants.iter().filter(unknown).collect();
        for some in in_queries(&unknown) {
            if some.len() > 1 {
                self.look_ahead_for(&some, now).await?;
            }
        }
        Ok(())
    }

    async fn look_ahead_for(&self, wants: &[&Want], now: DateTime<Utc>) -> Result<(), Failure> {
        let kinds: Vec<_> = wants.iter().flat_map(|want| want.kinds.iter().cloned()).collect();
        let room = wants.iter().map(|want| want.claims).sum();
        let all = self.read_window(&kinds, room, now).await?;
        let mut shared = self.desk.shared();
        for want in wants {
            let of_want = |stored: &&Stored| want.kinds.contains(&stored.task.spec.kind);
            let window = Window {
                tasks: all.tasks.iter().filter(of_want).cloned().collect(),
                // A place in the order of all of them is one in the order of each.
                behind: all.behind.clone(),
                ..Window::empty(now)
            };
            shared.windows.insert(want.kinds.clone(), window);
        }
        Ok(())
    }

    fn has_window(&self, kinds: &[String], now: DateTime<Utc>) -> bool {
        let shared = self.desk.shared();
        shared
            .windows
            .get(kinds)
            .is_some_and(|window| window.is_fresh(now))
    }

    /// The window of these kinds: what is left of the last one, or a new one.
    pub(super) async fn window(
        &self,
        kinds: &[String],
        room: usize,
        now: DateTime<Utc>,
    ) -> Result<Window, Failure> {
        let kept = self.desk.shared().windows.remove(kinds);
        match kept.filter(|window| window.is_fresh(now)) {
            Some(window) => Ok(window),
            None => self.read_window(kinds, room, now).await,
        }
    }

    async fn read_window(
        &self,
        kinds: &[String],
        room: usize,
        now: DateTime<Utc>,
    ) -> Result<Window, Failure> {
        let mut window = Window::empty(now);
        self.read_queue(&mut window, kinds, room).await?;
        Ok(window)
    }

    /// Adds what follows in the queue.
    pub(super) async fn read_queue(
        &self,
        window: &mut Window,
        kinds: &[String],
        room: usize,
    ) -> Result<(), Failure> {
        let limit = size(room, self.desk.shared().contention);
        let find = queries::due(&self.env, kinds, window.as_of);
        let find = find.after(window.behind.take()).limit(limit);
        let documents = self.documents(&find).await?;
        window.behind = documents.last().filter(|_| documents.len() == limit).map(place);
        window.add(
            documents
                .into_iter()
                .filter_map(|document| self.readable(document))
                .collect(),
        );
        Ok(())
    }
}

/// Wants whose kinds one query can ask for together.
fn in_queries<'a>(wants: &[&'a Want]) -> Vec<Vec<&'a Want>> {
    let mut queries: Vec<Vec<&Want>> = Vec::new();
    let mut kinds = 0;
    for want in wants {
        kinds += want.kinds.len();
        if queries.is_empty() || kinds > MAX_IN {
            queries.push(Vec::new());
            kinds = want.kinds.len();
        }
        queries.last_mut().expect("one was just added").push(want);
    }
    queries
}

/// The place of a document in the order of the queue.
fn place(document: &pb::Document) -> Vec<pb::Value> {
    let order = [field::WAIT_UNTIL, field::CREATED_AT, field::LEASED_UNTIL];
    let values = order.map(|name| document.fields.get(name).cloned().unwrap_or_default());
    let mut place = values.to_vec();
    place.push(reference(document.name.as_str()));
    place
}
