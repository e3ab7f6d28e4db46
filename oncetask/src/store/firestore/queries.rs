//! Every query that the store makes. Each has an index in `docs/firestore/firestore.indexes.json`.

use chrono::{DateTime, Utc};

use super::codec::{exact, field, second, second_up};
use super::proto::pb;
use super::query::DocumentQuery;
use crate::store::{Filter, Order};
use crate::task::ResourceKey;

/// The order of the queue. A query compares every field that it orders by, so that one index serves all that say this.
const BY_DUE: &[&str] = &[field::WAIT_UNTIL, field::CREATED_AT, field::LEASED_UNTIL];

/// The tasks of these kinds that have not ended.
fn unfinished(env: &str, kinds: &[String]) -> DocumentQuery {
    DocumentQuery::new()
        .equals(field::ENV, env)
        .one_of(field::KIND, kinds)
        .equals(field::DONE_AT, "")
}

/// The tasks of these kinds that are due, the earliest first. What became due within this second is judged by
/// its exact instant, after it is read.
pub(super) fn due(env: &str, kinds: &[String], now: DateTime<Utc>) -> DocumentQuery {
    unfinished(env, kinds)
        .at_most(field::WAIT_UNTIL, second(now))
        .at_most(field::LEASED_UNTIL, second_up(now))
        .order_by(BY_DUE)
}

/// The same of one resource key.
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

/// The tasks of these kinds that have not ended, held or not, those first that were the first to be due.
pub(super) fn unfinished_by_due(env: &str, kinds: &[String]) -> DocumentQuery {
    unfinished(env, kinds)
        // Always true, both of them.
        .at_least(field::WAIT_UNTIL, "")
        .at_least(field::LEASED_UNTIL, "")
        .order_by(BY_DUE)
}

/// The generators of these kinds that have not ended, the earliest first, whether due or held or neither.
pub(super) fn generators(env: &str, kinds: &[String]) -> DocumentQuery {
    unfinished_by_due(env, kinds)
        .not_null(field::RECURRENCE)
        .order_by(&[field::RECURRENCE])
}

/// The tasks of these resource keys that somebody holds.
pub(super) fn leased_of_keys(env: &str, kind: &str, keys: &[String], now: DateTime<Utc>) -> DocumentQuery {
    DocumentQuery::new()
        .equals(field::ENV, env)
        .equals(field::KIND, kind)
        .one_of(field::RESOURCE_KEY, keys)
        .equals(field::DONE_AT, "")
        .greater_than(field::LEASED_UNTIL, second(now))
        .order_by(&[field::LEASED_UNTIL])
}

/// The tasks of these kinds that are due after this instant, the earliest first; and, as they are spelled
/// otherwise, those that Go made due at the beginning of this second.
pub(super) fn waiting(env: &str, kinds: &[String], now: DateTime<Utc>) -> DocumentQuery {
    unfinished(env, kinds)
        .greater_than(field::WAIT_UNTIL, exact(now))
        // Always true.
        .at_least(field::LEASED_UNTIL, "")
        .order_by(BY_DUE)
}

/// The tasks of these kinds that somebody holds, the first lease to end first.
pub(super) fn leased(env: &str, kinds: &[String], now: DateTime<Utc>) -> DocumentQuery {
    unfinished(env, kinds)
        .greater_than(field::LEASED_UNTIL, second(now))
        .order_by(&[field::LEASED_UNTIL, field::WAIT_UNTIL])
}

/// The task of these kinds that nobody holds and that is due first: what a listener watches.
pub(super) fn head(env: &str, kinds: &[String]) -> DocumentQuery {
    unfinished(env, kinds)
        .equals(field::LEASED_UNTIL, "")
        .order_by(&[field::WAIT_UNTIL])
        .limit(1)
}

/// The tasks whose cancellation was accepted and that have not ended: what a listener watches.
pub(super) fn cancelled(env: &str) -> DocumentQuery {
    DocumentQuery::new()
        .equals(field::ENV, env)
        .is_true(field::IS_CANCELLED)
        .equals(field::DONE_AT, "")
}

/// A task of the first kind after this one.
pub(super) fn next_kind(env: &str, after: &str) -> DocumentQuery {
    DocumentQuery::new()
        .equals(field::ENV, env)
        .greater_than(field::KIND, after)
        .order_by(&[field::KIND, field::CREATED_AT])
        .limit(1)
}

/// The tasks of these ids, in every environment.
pub(super) fn anywhere(ids: &[String]) -> DocumentQuery {
    DocumentQuery::new().one_of(field::ID, ids)
}

/// The tasks that a filter may let through, by creation: the narrowest of the lists that there are indexes
/// for. What the list does not say is judged after it is read.
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
    let is_open = filter.status.is_some_and(|status| !status.is_done());
    match filter {
        Filter {
            generator: Some(generator),
            ..
        } => query.equals(field::GENERATOR, generator.as_str()),
        Filter {
            resource_key: Some(key),
            ..
        } => query.equals(field::RESOURCE_KEY, key.as_str()),
        Filter { kind: Some(kind), .. } if is_open => {
            query.equals(field::KIND, kind).equals(field::DONE_AT, "")
        }
        Filter { kind: Some(kind), .. } => query.equals(field::KIND, kind),
        _ if is_open => query.equals(field::DONE_AT, ""),
        _ => query,
    }
}

/// Whether [`list`] lets through exactly what the filter does.
pub(super) fn is_exact(filter: &Filter) -> bool {
    let narrowed = [
        filter.generator.is_some(),
        filter.resource_key.is_some(),
        filter.kind.is_some(),
    ];
    let judged_later = filter.status.is_some()
        || filter.created_from.is_some()
        || filter.created_before.is_some()
        || filter.done_from.is_some()
        || filter.done_before.is_some();
    narrowed.into_iter().filter(|set| *set).count() <= 1 && !judged_later
}

/// One query of each shape, by name: for whoever checks the indexes.
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
        ("anywhere".to_owned(), anywhere(&kinds)),
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

/// The place of a document in the order of a [`list`].
pub(super) fn list_position(created_at: &str, name: &str) -> Vec<pb::Value> {
    vec![super::proto::text(created_at), super::proto::reference(name)]
}
