//! The queries of the store. Each function returns the query that finds the documents it describes.
//!
//! Each query has an index in `docs/firestore/firestore.indexes.json`.

use chrono::{DateTime, Utc};

use super::codec::{exact, field, second, second_up};
use super::proto::{pb, reference, text};
use super::query::DocumentQuery;
use crate::store::{Filter, Order};
use crate::task::ResourceKey;

/// The order of the queue. Each query in this order compares all of these fields, so that one index serves them
/// all.
const BY_DUE: &[&str] = &[field::WAIT_UNTIL, field::CREATED_AT, field::LEASED_UNTIL];

/// Returns the query of the tasks of these kinds that have not ended.
fn unfinished(env: &str, kinds: &[String]) -> DocumentQuery {
    DocumentQuery::new()
        .equals(field::ENV, env)
        .one_of(field::KIND, kinds)
        .equals(field::DONE_AT, "")
}

/// Finds the tasks of these kinds that are due, in the order of the queue. It also finds tasks that become due later
/// in this second: the caller compares the exact instants.
pub(super) fn due(env: &str, kinds: &[String], now: DateTime<Utc>) -> DocumentQuery {
    unfinished(env, kinds)
        .at_most(field::WAIT_UNTIL, second(now))
        .at_most(field::LEASED_UNTIL, second_up(now))
        .order_by(BY_DUE)
}

/// Finds the due tasks of one resource key, in the order of the queue.
pub(super) fn due_of_key(env: &str, kind: &str, key: &ResourceKey, now: DateTime<Utc>) -> DocumentQuery {
    DocumentQuery::new()
        .equals(field::ENV, env)
        .equals(field::KIND, kind)
        .equals(field::RESOURCE_KEY, key.as_str())
        .equals(field::DONE_AT, "")
        .at_most(field::WAIT_UNTIL, second(now))
        .at_most(field::LEASED_UNTIL, second_up(now))
        .order_by(BY_DUE)
}

/// Finds the tasks of these kinds that have not ended, leased or not, in the order of the queue.
pub(super) fn unfinished_by_due(env: &str, kinds: &[String]) -> DocumentQuery {
    unfinished(env, kinds)
        // Both are always true.
        .at_least(field::WAIT_UNTIL, "")
        .at_least(field::LEASED_UNTIL, "")
        .order_by(BY_DUE)
}

/// Finds the generators of these kinds that have not ended, whether due, leased or neither, in the order of the
/// queue.
pub(super) fn generators(env: &str, kinds: &[String]) -> DocumentQuery {
    unfinished_by_due(env, kinds)
        .not_null(field::RECURRENCE)
        .order_by(&[field::RECURRENCE])
}

/// Finds the leased tasks of these resource keys.
pub(super) fn leased_of_keys(env: &str, kind: &str, keys: &[String], now: DateTime<Utc>) -> DocumentQuery {
    DocumentQuery::new()
        .equals(field::ENV, env)
        .equals(field::KIND, kind)
        .one_of(field::RESOURCE_KEY, keys)
        .equals(field::DONE_AT, "")
        .greater_than(field::LEASED_UNTIL, second(now))
        .order_by(&[field::LEASED_UNTIL])
}

/// Finds the tasks of these kinds that are due after this instant, in the order of the queue. It also finds tasks
/// that Go made due at the beginning of this second, because Go spells instants differently.
pub(super) fn waiting(env: &str, kinds: &[String], now: DateTime<Utc>) -> DocumentQuery {
    unfinished(env, kinds)
        .greater_than(field::WAIT_UNTIL, exact(now))
        // Always true.
        .at_least(field::LEASED_UNTIL, "")
        .order_by(BY_DUE)
}

/// Finds the leased tasks of these kinds, ordered by the end of the lease.
pub(super) fn leased(env: &str, kinds: &[String], now: DateTime<Utc>) -> DocumentQuery {
    unfinished(env, kinds)
        .greater_than(field::LEASED_UNTIL, second(now))
        .order_by(&[field::LEASED_UNTIL, field::WAIT_UNTIL])
}

/// Finds the task of these kinds without a lease that is due first: the target of a listener.
pub(super) fn head(env: &str, kinds: &[String]) -> DocumentQuery {
    unfinished(env, kinds)
        .equals(field::LEASED_UNTIL, "")
        .order_by(&[field::WAIT_UNTIL])
        .limit(1)
}

/// Finds the tasks whose cancellation was accepted and that have not ended: the target of a listener.
pub(super) fn cancelled(env: &str) -> DocumentQuery {
    DocumentQuery::new()
        .equals(field::ENV, env)
        .flag_set(field::IS_CANCELLED)
        .equals(field::DONE_AT, "")
}

/// Finds a task of the first kind after this one, in alphabetical order.
pub(super) fn next_kind(env: &str, after: &str) -> DocumentQuery {
    DocumentQuery::new()
        .equals(field::ENV, env)
        .greater_than(field::KIND, after)
        .order_by(&[field::KIND, field::CREATED_AT])
        .limit(1)
}

/// Finds the tasks with these ids, in every environment.
pub(super) fn by_ids(ids: &[String]) -> DocumentQuery {
    DocumentQuery::new().one_of(field::ID, ids)
}

/// Finds the tasks that may match a filter, ordered by creation: the narrowest list for which there is an index. The
/// caller applies the rest of the filter unless the list [is exact](is_exact).
pub(super) fn list(env: &str, filter: &Filter) -> DocumentQuery {
    let query = narrowest(DocumentQuery::new().equals(field::ENV, env), filter);
    let query = match filter.created_from {
        Some(from) => query.at_least(field::CREATED_AT, exact(from)),
        None => query,
    };
    let query = match filter.created_before {
        Some(before) => query.at_most(field::CREATED_AT, second(before)),
        None => query,
    };
    match filter.order {
        Order::OldestFirst => query.order_by(&[field::CREATED_AT]),
        Order::NewestFirst => query.order_by_descending(&[field::CREATED_AT]),
    }
}

fn narrowest(query: DocumentQuery, filter: &Filter) -> DocumentQuery {
    let is_unfinished = filter.status.is_some_and(|status| !status.is_done());
    match filter {
        Filter {
            generator: Some(generator),
            ..
        } => query.equals(field::GENERATOR, generator.as_str()),
        Filter {
            resource_key: Some(key),
            ..
        } => query.equals(field::RESOURCE_KEY, key.as_str()),
        Filter { kind: Some(kind), .. } if is_unfinished => {
            query.equals(field::KIND, kind).equals(field::DONE_AT, "")
        }
        Filter { kind: Some(kind), .. } => query.equals(field::KIND, kind),
        _ if is_unfinished => query.equals(field::DONE_AT, ""),
        _ => query,
    }
}

/// Returns whether [`list`] finds exactly the tasks that match the filter.
pub(super) fn is_exact(filter: &Filter) -> bool {
    let fields = [
        filter.generator.is_some(),
        filter.resource_key.is_some(),
        filter.kind.is_some(),
    ];
    let has_more_conditions = filter.status.is_some()
        || filter.created_from.is_some()
        || filter.created_before.is_some()
        || filter.done_from.is_some()
        || filter.done_before.is_some();
    fields.into_iter().filter(|set| *set).count() <= 1 && !has_more_conditions
}

/// Returns the position of a document in the order of a [`list`].
pub(super) fn list_position(created_at: &str, name: &str) -> Vec<pb::Value> {
    vec![text(created_at), reference(name)]
}

/// Returns one query of each shape, with its name, for the tests of the indexes.
#[cfg(test)]
pub(super) fn every_shape() -> Vec<(String, DocumentQuery)> {
    use crate::task::{Status, TaskId};
    let (env, now) = ("E", DateTime::UNIX_EPOCH);
    let kinds = ["A".to_owned(), "B".to_owned()];
    let key = ResourceKey::new("k").expect("a key");
    let mut shapes = vec![
        ("due".to_owned(), due(env, &kinds, now)),
        ("due, one kind".to_owned(), due(env, &kinds[..1], now)),
        ("due_of_key".to_owned(), due_of_key(env, "A", &key, now)),
        ("leased_of_keys".to_owned(), leased_of_keys(env, "A", &kinds, now)),
        ("waiting".to_owned(), waiting(env, &kinds, now)),
        ("generators".to_owned(), generators(env, &kinds)),
        ("unfinished_by_due".to_owned(), unfinished_by_due(env, &kinds)),
        ("leased".to_owned(), leased(env, &kinds, now)),
        ("head".to_owned(), head(env, &kinds)),
        ("cancelled".to_owned(), cancelled(env)),
        ("next_kind".to_owned(), next_kind(env, "A")),
        ("by_ids".to_owned(), by_ids(&kinds)),
    ];
    let narrow = [
        Filter::new(),
        Filter::new().kind("A"),
        Filter::new().resource_key("k"),
        Filter::new().generator(TaskId::new("g")),
    ];
    for filter in narrow {
        for status in [None, Some(Status::Pending), Some(Status::Failed)] {
            for order in [Order::OldestFirst, Order::NewestFirst] {
                let filter = Filter {
                    status,
                    order,
                    ..filter.clone()
                };
                shapes.push((format!("list {filter:?}"), list(env, &filter)));
                let ranged = filter.clone().created(Some(now), Some(now));
                shapes.push((format!("list {ranged:?}"), list(env, &ranged)));
            }
        }
    }
    shapes
}
