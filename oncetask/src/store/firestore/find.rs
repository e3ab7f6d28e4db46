//! A query in our words, and the index that it needs.

use super::proto::{boolean, pb, reference, text};
use pb::structured_query::field_filter::Operator;
use pb::structured_query::{Direction, FieldFilter, FieldReference, Filter, filter};

/// How many values one `IN` holds.
pub(super) const MAX_IN: usize = 30;

/// Which documents of the collection, and in which order.
#[derive(Clone, Debug, Default)]
pub(super) struct Find {
    equals: Vec<(&'static str, pb::Value)>,
    among: Option<(&'static str, Vec<String>)>,
    present: Option<&'static str>,
    bounds: Vec<(&'static str, Operator, String)>,
    order: Vec<(&'static str, Direction)>,
    after: Option<Vec<pb::Value>>,
    limit: Option<usize>,
}

impl Find {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn equal(mut self, field: &'static str, to: &str) -> Self {
        self.equals.push((field, text(to)));
        self
    }

    pub(super) fn set(mut self, field: &'static str) -> Self {
        self.equals.push((field, boolean(true)));
        self
    }

    /// Anything but null. The field must be one of the order.
    pub(super) fn present(mut self, field: &'static str) -> Self {
        self.present = Some(field);
        self
    }

    /// One of at most [`MAX_IN`] values.
    pub(super) fn among(mut self, field: &'static str, values: &[String]) -> Self {
        debug_assert!(values.len() <= MAX_IN, "more values than one `IN` holds");
        match values {
            [one] => return self.equal(field, one),
            several => self.among = Some((field, several.to_vec())),
        }
        self
    }

    pub(super) fn at_most(self, field: &'static str, bound: impl Into<String>) -> Self {
        self.bound(field, Operator::LessThanOrEqual, bound.into())
    }

    pub(super) fn at_least(self, field: &'static str, bound: impl Into<String>) -> Self {
        self.bound(field, Operator::GreaterThanOrEqual, bound.into())
    }

    pub(super) fn above(self, field: &'static str, bound: impl Into<String>) -> Self {
        self.bound(field, Operator::GreaterThan, bound.into())
    }

    fn bound(mut self, field: &'static str, operator: Operator, bound: String) -> Self {
        self.bounds.push((field, operator, bound));
        self
    }

    pub(super) fn order(self, fields: &[&'static str]) -> Self {
        self.directed(fields, Direction::Ascending)
    }

    pub(super) fn order_down(self, fields: &[&'static str]) -> Self {
        self.directed(fields, Direction::Descending)
    }

    fn directed(mut self, fields: &[&'static str], direction: Direction) -> Self {
        self.order.extend(fields.iter().map(|field| (*field, direction)));
        self
    }

    /// Only what follows a document whose fields of the order, and name, are these.
    pub(super) fn after(mut self, place: Option<Vec<pb::Value>>) -> Self {
        self.after = place;
        self
    }

    /// The place of a document in the order.
    pub(super) fn place_of(&self, document: &pb::Document) -> Vec<pb::Value> {
        let value =
            |(name, _): &(&'static str, Direction)| document.fields.get(*name).cloned().unwrap_or_default();
        let mut place: Vec<_> = self.order.iter().map(value).collect();
        place.push(reference(document.name.as_str()));
        place
    }

    pub(super) fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The query as it is sent. Ties are broken by name, which a place is told with.
    pub(super) fn of(&self, collection: &str) -> pb::StructuredQuery {
        let last = self
            .order
            .last()
            .map_or(Direction::Ascending, |(_, direction)| *direction);
        let by_name = self.after.as_ref().map(|_| order("__name__", last));
        pb::StructuredQuery {
            from: vec![pb::structured_query::CollectionSelector {
                collection_id: collection.to_owned(),
                all_descendants: false,
            }],
            r#where: Some(all_of(self.filters())),
            order_by: self
                .order
                .iter()
                .map(|(field, direction)| order(field, *direction))
                .chain(by_name)
                .collect(),
            start_at: self.after.clone().map(|values| pb::Cursor {
                values,
                before: false,
            }),
            limit: self.limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)),
            ..Default::default()
        }
    }

    fn filters(&self) -> Vec<Filter> {
        let equals = self
            .equals
            .iter()
            .map(|(field, to)| compare(field, Operator::Equal, to.clone()));
        let among = self.among.iter().map(|(field, values)| {
            let values = values.iter().map(text).collect();
            compare(field, Operator::In, super::proto::array(values))
        });
        let bounds = self
            .bounds
            .iter()
            .map(|(field, operator, bound)| compare(field, *operator, text(bound)));
        let present = self.present.iter().map(|field| is_not_null(field));
        equals.chain(among).chain(bounds).chain(present).collect()
    }

    /// The fields of the index that serves the query: those that are compared for equality, in any order,
    /// then those of the order. `None` where the index that each field has by itself is enough.
    pub(super) fn index(&self) -> Option<Index> {
        let among = self.among.iter().map(|(field, _)| *field);
        let mut equal: Vec<_> = self.equals.iter().map(|(field, _)| *field).chain(among).collect();
        equal.sort_unstable();
        let ordered: Vec<_> = self
            .order
            .iter()
            .map(|(field, direction)| (*field, *direction == Direction::Descending))
            .collect();
        (equal.len() + ordered.len() > 1).then_some(Index { equal, ordered })
    }
}

/// An index over several fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    /// In any order.
    pub(super) equal: Vec<&'static str>,
    /// In this order, and whether downwards.
    pub(super) ordered: Vec<(&'static str, bool)>,
}

impl Index {
    /// The command that creates it.
    pub(super) fn command(&self, collection: &str, project: &str, database: &str) -> String {
        let equal = self.equal.iter().map(|field| (*field, false));
        let mut command = format!(
            "gcloud firestore indexes composite create --project={project} --database='{database}' \
             --collection-group={collection}"
        );
        for (field, down) in equal.chain(self.ordered.iter().copied()) {
            let order = if down { "descending" } else { "ascending" };
            command.push_str(" --field-config=field-path=");
            command.push_str(field);
            command.push_str(",order=");
            command.push_str(order);
        }
        command
    }
}

fn order(field: &str, direction: Direction) -> pb::structured_query::Order {
    pb::structured_query::Order {
        field: Some(path(field)),
        direction: direction.into(),
    }
}

fn path(field: &str) -> FieldReference {
    FieldReference {
        field_path: field.to_owned(),
    }
}

fn compare(field: &str, operator: Operator, to: pb::Value) -> Filter {
    Filter {
        filter_type: Some(filter::FilterType::FieldFilter(FieldFilter {
            field: Some(path(field)),
            op: operator.into(),
            value: Some(to),
        })),
    }
}

fn is_not_null(field: &str) -> Filter {
    use pb::structured_query::{UnaryFilter, unary_filter};
    Filter {
        filter_type: Some(filter::FilterType::UnaryFilter(UnaryFilter {
            op: unary_filter::Operator::IsNotNull.into(),
            operand_type: Some(unary_filter::OperandType::Field(path(field))),
        })),
    }
}

fn all_of(filters: Vec<Filter>) -> Filter {
    use pb::structured_query::{CompositeFilter, composite_filter};
    Filter {
        filter_type: Some(filter::FilterType::CompositeFilter(CompositeFilter {
            op: composite_filter::Operator::And.into(),
            filters,
        })),
    }
}
