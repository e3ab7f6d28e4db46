//! Looking at tasks.

use chrono::{DateTime, Timelike, Utc};

use super::codec::{exact, field};
use super::find::Find;
use super::inner::Inner;
use super::proto::{ValueType, pb};
use super::queries;
use super::retry::Failure;
use crate::store::{Cursor, Filter, Page, Query};
use crate::task::{Task, TaskId};

/// How many documents a count that must look at each reads at a time.
const SCAN: usize = 300;

impl Inner {
    pub(super) async fn get(&self, ids: Vec<TaskId>) -> Result<Vec<Option<Task>>, Failure> {
        let names: Vec<_> = ids.iter().map(|id| self.name(id).ok()).collect();
        let mut wanted: Vec<_> = names.iter().flatten().cloned().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let read = self.read(&wanted).await?;
        let task = |(id, name): (&TaskId, &Option<String>)| {
            let name = name.as_ref()?;
            let stored = self.ours(name, read.get(name)?.clone())?;
            (stored.task.id() == id).then_some(stored.task)
        };
        Ok(ids.iter().zip(&names).map(task).collect())
    }

    pub(super) async fn page(&self, query: Query) -> Result<Page, Failure> {
        let Query {
            filter,
            after,
            limit,
            now,
        } = query;
        let list = queries::list(&self.env, &filter);
        let mut place = match &after {
            Some(cursor) => Some(self.place_of(cursor, &list).await?),
            None => None,
        };
        let mut tasks = Vec::new();
        loop {
            // One more than the page has, to know whether another follows.
            let wanted = limit + 1 - tasks.len();
            let find = list.clone().after(place.take()).limit(wanted);
            let documents = self.documents(&find).await?;
            let is_last = documents.len() < wanted;
            place = documents.last().map(|last| find.place_of(last));
            let found = documents
                .into_iter()
                .filter_map(|document| self.readable(document))
                .map(|stored| stored.task);
            tasks.extend(found.filter(|task| filter.matches(task, now)));
            if is_last || tasks.len() > limit {
                break;
            }
        }
        let more = tasks.len() > limit;
        tasks.truncate(limit);
        let next = tasks.last().filter(|_| more).map(Cursor::of);
        Ok(Page { tasks, next })
    }

    /// The place of a cursor in the order of a list. A whole second may be spelled in two ways, of which only
    /// the document knows the one that was used.
    async fn place_of(&self, cursor: &Cursor, list: &Find) -> Result<Vec<pb::Value>, Failure> {
        let name = self.name(&cursor.id).unwrap_or_default();
        if cursor.created_at.nanosecond() == 0 && !name.is_empty() {
            let documents = self.rpc.get(std::slice::from_ref(&name)).await?;
            if let Some(document) = documents.first() {
                return Ok(list.place_of(document));
            }
        }
        Ok(queries::place(&exact(cursor.created_at), &name))
    }

    pub(super) async fn count(&self, filter: Filter, now: DateTime<Utc>) -> Result<u64, Failure> {
        if queries::is_exact(&filter) {
            return self.count_exactly(&queries::list(&self.env, &filter)).await;
        }
        let mut count = 0;
        let mut place = None;
        loop {
            let find = queries::list(&self.env, &filter).after(place).limit(SCAN);
            let documents = self.documents(&find).await?;
            let is_last = documents.len() < SCAN;
            place = documents.last().map(|last| find.place_of(last));
            let found = documents
                .into_iter()
                .filter_map(|document| self.readable(document));
            count += found.filter(|stored| filter.matches(&stored.task, now)).count() as u64;
            if is_last {
                return Ok(count);
            }
        }
    }

    async fn count_exactly(&self, find: &Find) -> Result<u64, Failure> {
        let query = find.of(&self.settings.collection);
        self.rpc
            .count(&query)
            .await
            .map_err(|failure| self.with_index(failure, find))
    }

    /// The kinds that are stored: one read for each.
    pub(super) async fn kinds(&self) -> Result<Vec<String>, Failure> {
        let mut kinds: Vec<String> = Vec::new();
        loop {
            let after = kinds.last().map_or("", String::as_str);
            let found = self.documents(&queries::next_kind(&self.env, after)).await?;
            match found.first().and_then(|document| string(document, field::KIND)) {
                Some(kind) => kinds.push(kind.to_owned()),
                None => return Ok(kinds),
            }
        }
    }
}

fn string<'a>(document: &'a pb::Document, field: &str) -> Option<&'a str> {
    match document.fields.get(field)?.value_type.as_ref()? {
        ValueType::StringValue(text) => Some(text),
        _ => None,
    }
}
