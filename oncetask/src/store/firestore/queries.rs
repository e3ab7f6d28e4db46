//! Every query that the store makes. Each has an index in `docs/firestore/firestore.indexes.json`.

use chrono::{DateTime, Utc};

use super::codec::{exact, field, second, second_up};
use super::find::Find;
use super::proto::pb;
use crate::store::{Filter, Order};
use crate::task::ResourceKey;

/// The order of the queue. A query compares every field that it orders by, so that one index serves all that say this.
const BY_DUE: &[&str] = &[field::WAIT_UNTIL, field::CREATED_AT, field::LEASED_UNTIL];

/// The tasks of these kinds that have not ended.
fn unfinished(env: &str, kinds: &[String]) -> Find {
    Find::new()
        .equal(field::ENV, env)
        .among(field::KIND, kinds)
        .equal(field::DONE_AT, "")
}

/// The tasks of these kinds that are due, the earliest first. What became due within this second is judged by
/// its exact instant, after it is read.
pub(super) fn due(env: &str, kinds: &[String], now: DateTime<Utc>) -> Find {
    unfinished(env, kinds)
        .at_most(field::WAIT_UNTIL, second(now))
        .at_most(field::LEASED_UNTIL, second_up(now))
        .order(BY_DUE)
}

/// The same of one resource key.
pub(super) fn due_of_key(env: &str, kind: &str, key: &ResourceKey, now: DateTime<Utc>) -> Find {
    Find::new()
        .equal(field::ENV, env)
        .equal(field::KIND, kind)
        .equal(field::RESOURCE_KEY, key.as_str())
        .equal(field::DONE_AT, "")
        .at_most(field::WAIT_UNTIL, second(now))
        .at_most(field::LEASED_UNTIL, second_up(now))
        .order(BY_DUE)
}

/// The tasks of these kinds that have not ended, held or not, those first that were the first to be due.
pub(super) fn open(env: &str, kinds: &[String]) -> Find {
    unfinished(env, kinds)
        // Always true, both of them.
        .at_least(field::WAIT_UNTIL, "")
        .at_least(field::LEASED_UNTIL, "")
        .order(BY_DUE)
}

/// The generators of these kinds that have not ended, the earliest first, whether due or held or neither.
pub(super) fn generators(env: &str, kinds: &[String]) -> Find {
    open(env, kinds)
        .present(field::RECURRENCE)
        .order(&[field::RECURRENCE])
}

/// The tasks of these resource keys that somebody holds.
pub(super) fn held(env: &str, kind: &str, keys: &[String], now: DateTime<Utc>) -> Find {
    Find::new()
        .equal(field::ENV, env)
        .equal(field::KIND, kind)
        .among(field::RESOURCE_KEY, keys)
        .equal(field::DONE_AT, "")
        .above(field::LEASED_UNTIL, second(now))
        .order(&[field::LEASED_UNTIL])
}

/// The tasks of these kinds that are due after this instant, the earliest first; and, as they are spelled
/// otherwise, those that Go made due at the beginning of this second.
pub(super) fn waiting(env: &str, kinds: &[String], now: DateTime<Utc>) -> Find {
    unfinished(env, kinds)
        .above(field::WAIT_UNTIL, exact(now))
        // Always true.
        .at_least(field::LEASED_UNTIL, "")
        .order(BY_DUE)
}

/// The tasks of these kinds that somebody holds, the first lease to end first.
pub(super) fn leased(env: &str, kinds: &[String], now: DateTime<Utc>) -> Find {
    unfinished(env, kinds)
        .above(field::LEASED_UNTIL, second(now))
        .order(&[field::LEASED_UNTIL, field::WAIT_UNTIL])
}

/// The task of these kinds that nobody holds and that is due first: what a listener watches.
pub(super) fn head(env: &str, kinds: &[String]) -> Find {
    unfinished(env, kinds)
        .equal(field::LEASED_UNTIL, "")
        .order(&[field::WAIT_UNTIL])
        .limit(1)
}

/// The tasks whose cancellation was accepted and that have not ended: what a listener watches.
pub(super) fn cancelled(env: &str) -> Find {
    Find::new()
        .equal(field::ENV, env)
        .set(field::IS_CANCELLED)
        .equal(field::DONE_AT, "")
}

/// A task of the first kind after this one.
pub(super) fn next_kind(env: &str, after: &str) -> Find {
    Find::new()
        .equal(field::ENV, env)
        .above(field::KIND, after)
        .order(&[field::KIND, field::CREATED_AT])
        .limit(1)
}

/// The tasks of these ids, in every environment.
pub(super) fn anywhere(ids: &[String]) -> Find {
    Find::new().among(field::ID, ids)
}

/// The tasks that a filter may let through, by creation: the narrowest of the lists that there are indexes
/// for. What the list does not say is judged after it is read.
pub(super) fn list(env: &str, filter: &Filter) -> Find {
    let find = narrowest(Find::new().equal(field::ENV, env), filter);
    let find = match filter.created_from {
        Some(from) => find.at_least(field::CREATED_AT, exact(from)),
        None => find,
    };
    let find = match filter.created_before {
        Some(before) => find.at_most(field::CREATED_AT, second(before)),
        None => find,
    };
    match filter.order {
        Order::OldestFirst => find.order(&[field::CREATED_AT]),
        Order::NewestFirst => find.order_down(&[field::CREATED_AT]),
    }
}

fn narrowest(find: Find, filter: &Filter) -> Find {
    let is_open = filter.status.is_some_and(|status| !status.is_done());
    match filter {
        Filter {
            generator: Some(generator),
            ..
        } => find.equal(field::GENERATOR, generator.as_str()),
        Filter {
            resource_key: Some(key),
            ..
        } => find.equal(field::RESOURCE_KEY, key.as_str()),
        Filter { kind: Some(kind), .. } if is_open => find.equal(field::KIND, kind).equal(field::DONE_AT, ""),
        Filter { kind: Some(kind), .. } => find.equal(field::KIND, kind),
        _ if is_open => find.equal(field::DONE_AT, ""),
        _ => find,
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
pub(super) fn every_shape() -> Vec<(String, Find)> {
    use crate::task::{Status, TaskId};
    let (env, now) = ("E", DateTime::UNIX_EPOCH);
    let kinds = ["A".to_owned(), "B".to_owned()];
    let key = ResourceKey::new("k").expect("a key");
    let mut shapes = vec![
        ("due".to_owned(), due(env, &kinds, now)),
        ("due, one kind".to_owned(), due(env, &kinds[..1], now)),
        ("due_of_key".to_owned(), due_of_key(env, "A", &key, now)),
        ("held".to_owned(), held(env, "A", &kinds, now)),
        ("waiting".to_owned(), waiting(env, &kinds, now)),
        ("generators".to_owned(), generators(env, &kinds)),
        ("open".to_owned(), open(env, &kinds)),
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
pub(super) fn place(created_at: &str, name: &str) -> Vec<pb::Value> {
    vec![super::proto::text(created_at), super::proto::reference(name)]
}
