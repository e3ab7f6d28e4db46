use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::task::{ResourceKey, Status, Task, TaskId};

/// Which tasks: those that meet all of what is set.
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
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this status, at the instant of the question.
    pub status: Option<Status>,
    /// Of this resource key.
    pub resource_key: Option<ResourceKey>,
    /// Occurrences of this generator.
    pub generator: Option<TaskId>,
    /// Created at this instant or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Created before this instant.
    pub created_before: Option<DateTime<Utc>>,
    /// Ended at this instant or later.
    pub done_from: Option<DateTime<Utc>>,
    /// Ended before this instant.
    pub done_before: Option<DateTime<Utc>>,
    /// In which order.
    pub order: Order,
}

/// The order in which tasks are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// By creation, the oldest first.
    #[default]
    OldestFirst,
    /// By creation, the newest first.
    NewestFirst,
}

/// A page's worth of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// Which tasks.
    pub filter: Filter,
    /// Go on behind this place.
    pub after: Option<Cursor>,
    /// How many tasks at the most.
    pub limit: usize,
    /// The instant of the question.
    pub now: DateTime<Utc>,
}

/// A page of tasks.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Page {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<Cursor>,
}

/// A place in a list: a task's creation and id. As text it can be handed to a browser and taken back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Cursor {
    /// When the last task of the page was created.
    pub created_at: DateTime<Utc>,
    /// Its id.
    pub id: TaskId,
}

impl Filter {
    /// Every task.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of this kind.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Those of this status.
    #[must_use]
    pub fn status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// Those of this resource key. The empty text is no key and sets nothing.
    #[must_use]
    pub fn resource_key(mut self, key: impl Into<String>) -> Self {
        self.resource_key = ResourceKey::new(key);
        self
    }

    /// The occurrences of this generator.
    #[must_use]
    pub fn generator(mut self, id: impl Into<TaskId>) -> Self {
        self.generator = Some(id.into());
        self
    }

    /// Those created from the first instant on and before the second.
    #[must_use]
    pub fn created(mut self, from: Option<DateTime<Utc>>, before: Option<DateTime<Utc>>) -> Self {
        (self.created_from, self.created_before) = (from, before);
        self
    }

    /// Those that ended from the first instant on and before the second.
    #[must_use]
    pub fn done(mut self, from: Option<DateTime<Utc>>, before: Option<DateTime<Utc>>) -> Self {
        (self.done_from, self.done_before) = (from, before);
        self
    }

    /// The newest first.
    #[must_use]
    pub fn newest_first(mut self) -> Self {
        self.order = Order::NewestFirst;
        self
    }

    /// Whether a task is let through at this instant.
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

impl Query {
    /// Returns a query for the first page of at most `limit` tasks, at this instant.
    #[must_use]
    pub fn new(filter: Filter, limit: usize, now: DateTime<Utc>) -> Self {
        Self {
            filter,
            after: None,
            limit,
            now,
        }
    }

    /// Sets the position after which the page begins; `None` is the first page.
    #[must_use]
    pub fn after(mut self, after: Option<Cursor>) -> Self {
        self.after = after;
        self
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

impl Cursor {
    /// The place of a task.
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
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = text.split_once('.').and_then(|(millis, id)| {
            let created_at = DateTime::from_timestamp_millis(millis.parse().ok()?)?;
            Some(Self {
                created_at,
                id: TaskId::new(id),
            })
        });
        place.ok_or_else(|| format!("`{text}` is no place in a list of tasks"))
    }
}
