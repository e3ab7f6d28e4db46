//! The filter of a listing or a count, and the pages of a listing.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::task::{ResourceKey, Status, Task, TaskId};

/// The conditions that a task must meet to be listed or counted. A task matches if it meets every condition that is
/// set; an empty filter matches every task.
///
/// ```
/// use oncetask::{Filter, Status};
///
/// let filter = Filter::new().kind("SendEmail").status(Status::Failed);
/// # let _ = filter;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// The kind.
    pub kind: Option<String>,
    /// The status at the instant of the query.
    pub status: Option<Status>,
    /// The resource key.
    pub resource_key: Option<ResourceKey>,
    /// The generator whose occurrences match.
    pub generator: Option<TaskId>,
    /// The earliest instant of creation.
    pub created_from: Option<DateTime<Utc>>,
    /// The instant before which a task was created.
    pub created_before: Option<DateTime<Utc>>,
    /// The earliest instant of the end.
    pub done_from: Option<DateTime<Utc>>,
    /// The instant before which a task ended.
    pub done_before: Option<DateTime<Utc>>,
    /// The order of a listing.
    pub order: Order,
}

/// The order of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// By the instant of creation, the oldest task first.
    #[default]
    OldestFirst,
    /// By the instant of creation, the newest task first.
    NewestFirst,
}

/// A request for one page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// The conditions.
    pub filter: Filter,
    /// The position after which the page starts; `None` for the first page.
    pub after: Option<Cursor>,
    /// The maximum number of tasks on the page.
    pub limit: usize,
    /// The instant at which statuses are computed.
    pub now: DateTime<Utc>,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Page {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// The position after which the next page starts; `None` on the last page.
    pub next: Option<Cursor>,
}

/// A position in a listing: the instant of creation and the id of a task. Its text form can be sent to a browser
/// and parsed again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Cursor {
    /// The instant of creation of the last task before the position.
    pub created_at: DateTime<Utc>,
    /// The id of that task.
    pub id: TaskId,
}

impl Filter {
    /// Returns a filter that matches every task.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Matches tasks of this kind.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Matches tasks of this status.
    #[must_use]
    pub fn status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// Matches tasks of this resource key. An empty text is not a key and sets no condition.
    #[must_use]
    pub fn resource_key(mut self, key: impl Into<String>) -> Self {
        self.resource_key = ResourceKey::new(key);
        self
    }

    /// Matches occurrences of this generator.
    #[must_use]
    pub fn generator(mut self, id: impl Into<TaskId>) -> Self {
        self.generator = Some(id.into());
        self
    }

    /// Matches tasks that were created at `from` or later, and before `before`.
    #[must_use]
    pub fn created(mut self, from: Option<DateTime<Utc>>, before: Option<DateTime<Utc>>) -> Self {
        (self.created_from, self.created_before) = (from, before);
        self
    }

    /// Matches tasks that ended at `from` or later, and before `before`.
    #[must_use]
    pub fn done(mut self, from: Option<DateTime<Utc>>, before: Option<DateTime<Utc>>) -> Self {
        (self.done_from, self.done_before) = (from, before);
        self
    }

    /// Lists the newest task first.
    #[must_use]
    pub fn newest_first(mut self) -> Self {
        self.order = Order::NewestFirst;
        self
    }

    /// Returns whether a task matches at this instant.
    #[must_use]
    pub fn matches(&self, task: &Task, now: DateTime<Utc>) -> bool {
        let generator = task
            .spec
            .occurrence
            .as_ref()
            .map(|occurrence| &occurrence.generator);
        let done_at = task.state.done.map(|done| done.at);
        self.kind.as_ref().is_none_or(|kind| kind == task.kind())
            && self.status.is_none_or(|status| status == task.status(now))
            && self.resource_key.is_none_or_eq(task.resource_key())
            && self.generator.is_none_or_eq(generator)
            && within(Some(task.spec.created_at), self.created_from, self.created_before)
            && within(done_at, self.done_from, self.done_before)
    }
}

trait NoneOrEq<T> {
    fn is_none_or_eq(&self, value: Option<&T>) -> bool;
}

impl<T: PartialEq> NoneOrEq<T> for Option<T> {
    fn is_none_or_eq(&self, value: Option<&T>) -> bool {
        self.as_ref().is_none_or(|wanted| Some(wanted) == value)
    }
}

fn within(at: Option<DateTime<Utc>>, from: Option<DateTime<Utc>>, before: Option<DateTime<Utc>>) -> bool {
    from.is_none_or(|from| at.is_some_and(|at| from <= at))
        && before.is_none_or(|before| at.is_some_and(|at| at < before))
}

impl Query {
    /// Returns a request for the first page.
    #[must_use]
    pub fn new(filter: Filter, limit: usize, now: DateTime<Utc>) -> Self {
        Self {
            filter,
            after: None,
            limit,
            now,
        }
    }

    /// Sets the position after which the page starts.
    #[must_use]
    pub fn after(mut self, after: Option<Cursor>) -> Self {
        self.after = after;
        self
    }
}

impl Page {
    /// Returns a page of these tasks, and the position after which the next page starts.
    #[must_use]
    pub fn new(tasks: Vec<Task>, next: Option<Cursor>) -> Self {
        Self { tasks, next }
    }
}

impl Cursor {
    /// Returns the position directly after a task.
    #[must_use]
    pub fn of(task: &Task) -> Self {
        Self {
            created_at: task.spec.created_at,
            id: task.spec.id.clone(),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.timestamp_millis(), self.id)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let cursor = text.split_once('.').and_then(|(millis, id)| {
            let created_at = DateTime::from_timestamp_millis(millis.parse().ok()?)?;
            Some(Self {
                created_at,
                id: TaskId::new(id),
            })
        });
        cursor.ok_or_else(|| Error::Config {
            reason: format!("invalid cursor `{text}`: expected the text form of a `Cursor`"),
        })
    }
}
