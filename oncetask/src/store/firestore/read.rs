//! Looking at tasks.

use chrono::{DateTime, Timelike, Utc};

use super::codec::{exact, field};
use super::operations::Operations;
use super::proto::{ValueType, pb};
use super::queries;
use super::query::DocumentQuery;
use super::retry::Failure;
use crate::store::{Cursor, Filter, Page, Query};
use crate::task::{Task, TaskId};

/// How many documents a count that must look at each reads at a time.
const SCAN: usize = 300;

impl Operations {
    pub(super) async fn get(&self, ids: Vec<TaskId>) -> Result<Vec<Option<Task>>, Failure> {
        let names: Vec<_> = ids.iter().map(|id| self.documents.name(id).ok()).collect();
        let mut wanted: Vec<_> = names.iter().flatten().cloned().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let read = self.documents.read(&wanted).await?;
        let task = |(id, name): (&TaskId, &Option<String>)| {
            let name = name.as_ref()?;
            let stored = self.documents.in_this_env(name, read.get(name)?.clone())?;
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
        let list = queries::list(&self.documents.env, &filter);
        let mut place = match &after {
            Some(cursor) => Some(self.place_of(cursor, &list).await?),
            None => None,
        };
        let mut tasks = Vec::new();
        loop {
            // One more than the page has, to know whether another follows.
            let wanted = limit + 1 - tasks.len();
            let find = list.clone().start_after(place.take()).limit(wanted);
            let documents = self.documents.query(&find).await?;
            let is_last = documents.len() < wanted;
            place = documents.last().map(|last| find.position_of(last));
            let found = documents
                .into_iter()
                .filter_map(|document| self.documents.decode_or_warn(document))
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
    async fn place_of(&self, cursor: &Cursor, list: &DocumentQuery) -> Result<Vec<pb::Value>, Failure> {
        let name = self.documents.name(&cursor.id).unwrap_or_default();
        if cursor.created_at.nanosecond() == 0 && !name.is_empty() {
            let documents = self.documents.rpc.get(std::slice::from_ref(&name)).await?;
            if let Some(document) = documents.first() {
                return Ok(list.position_of(document));
            }
        }
        Ok(queries::list_position(&exact(cursor.created_at), &name))
    }

    pub(super) async fn count(&self, filter: Filter, now: DateTime<Utc>) -> Result<u64, Failure> {
        if queries::is_exact(&filter) {
            return self
                .documents
                .count(&queries::list(&self.documents.env, &filter))
                .await;
        }
        let mut count = 0;
        let mut place = None;
        loop {
            let find = queries::list(&self.documents.env, &filter)
                .start_after(place)
                .limit(SCAN);
            let documents = self.documents.query(&find).await?;
            let is_last = documents.len() < SCAN;
            place = documents.last().map(|last| find.position_of(last));
            let found = documents
                .into_iter()
                .filter_map(|document| self.documents.decode_or_warn(document));
            count += found.filter(|stored| filter.matches(&stored.task, now)).count() as u64;
            if is_last {
                return Ok(count);
            }
        }
    }

    /// The kinds that are stored: one read for each.
    pub(super) async fn kinds(&self) -> Result<Vec<String>, Failure> {
        let mut kinds: Vec<String> = Vec::new();
        loop {
            let after = kinds.last().map_or("", String::as_str);
            let found = self
                .documents
                .query(&queries::next_kind(&self.documents.env, after))
                .await?;
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
