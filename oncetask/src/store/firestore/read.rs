//! Reading, listing and counting tasks.

use chrono::{DateTime, Timelike, Utc};

use super::codec::{exact, field};
use super::operations::Operations;
use super::proto::{ValueType, pb};
use super::queries;
use super::query::DocumentQuery;
use super::retry::Failure;
use crate::store::{Cursor, Filter, Page, Query};
use crate::task::{Task, TaskId};

/// The number of documents that one query of a count reads, if the count must read each document.
const COUNT_PAGE: usize = 300;

impl Operations {
    pub(super) async fn get(&self, ids: Vec<TaskId>) -> Result<Vec<Option<Task>>, Failure> {
        let names: Vec<_> = ids.iter().map(|id| self.documents.name(id).ok()).collect();
        let mut distinct: Vec<_> = names.iter().flatten().cloned().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let read = self.documents.read(&distinct).await?;
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
        let mut position = match &after {
            Some(cursor) => Some(self.position_of(cursor, &list).await?),
            None => None,
        };
        let mut tasks = Vec::new();
        loop {
            // One more than the page has, to know whether another page follows.
            let missing = limit + 1 - tasks.len();
            let part = list.clone().start_after(position.take()).limit(missing);
            let documents = self.documents.query(&part).await?;
            let is_last = documents.len() < missing;
            position = documents.last().map(|last| part.position_of(last));
            let found = documents
                .into_iter()
                .filter_map(|document| self.documents.decode_or_warn(document))
                .map(|stored| stored.task);
            tasks.extend(found.filter(|task| filter.matches(task, now)));
            if is_last || tasks.len() > limit {
                break;
            }
        }
        let has_more = tasks.len() > limit;
        tasks.truncate(limit);
        let next = tasks.last().filter(|_| has_more).map(Cursor::of);
        Ok(Page { tasks, next })
    }

    /// Returns the position of a cursor in the order of a list. A whole second has two spellings, and only the
    /// document shows which of them was used.
    async fn position_of(&self, cursor: &Cursor, list: &DocumentQuery) -> Result<Vec<pb::Value>, Failure> {
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
        let list = queries::list(&self.documents.env, &filter);
        if queries::is_exact(&filter) {
            return self.documents.count(&list).await;
        }
        let mut count = 0;
        let mut position = None;
        loop {
            let part = list.clone().start_after(position).limit(COUNT_PAGE);
            let documents = self.documents.query(&part).await?;
            let is_last = documents.len() < COUNT_PAGE;
            position = documents.last().map(|last| part.position_of(last));
            let found = documents
                .into_iter()
                .filter_map(|document| self.documents.decode_or_warn(document));
            count += found.filter(|stored| filter.matches(&stored.task, now)).count() as u64;
            if is_last {
                return Ok(count);
            }
        }
    }

    /// Returns the kinds of the stored tasks, at a cost of one read for each kind.
    pub(super) async fn kinds(&self) -> Result<Vec<String>, Failure> {
        let mut kinds: Vec<String> = Vec::new();
        loop {
            let last = kinds.last().map_or("", String::as_str);
            let next = queries::next_kind(&self.documents.env, last);
            let found = self.documents.query(&next).await?;
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
