//! The builder of queries, and the composite index that each query needs.

use super::proto::{array, boolean, pb, reference, text};
use pb::structured_query::field_filter::Operator;
use pb::structured_query::{Direction, FieldFilter, FieldReference, Filter, filter};

/// The maximum number of values that one `IN` filter holds.
pub(super) const MAX_IN: usize = 30;

/// A query of the collection: its filters, its order, its start and its limit.
#[derive(Clone, Debug, Default)]
pub(super) struct DocumentQuery {
    equals: Vec<(&'static str, pb::Value)>,
    one_of: Option<(&'static str, Vec<String>)>,
    not_null: Option<&'static str>,
    bounds: Vec<(&'static str, Operator, String)>,
    order: Vec<(&'static str, Direction)>,
    start_after: Option<Vec<pb::Value>>,
    limit: Option<usize>,
}

impl DocumentQuery {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn equals(mut self, field: &'static str, value: &str) -> Self {
        self.equals.push((field, text(value)));
        self
    }

    pub(super) fn flag_set(mut self, field: &'static str) -> Self {
        self.equals.push((field, boolean(true)));
        self
    }

    /// Requires a value that is not null. The query must be ordered by the field.
    pub(super) fn not_null(mut self, field: &'static str) -> Self {
        self.not_null = Some(field);
        self
    }

    /// Requires one of at most [`MAX_IN`] values.
    pub(super) fn one_of(mut self, field: &'static str, values: &[String]) -> Self {
        debug_assert!(values.len() <= MAX_IN, "more values than one `IN` holds");
        match values {
            [one] => return self.equals(field, one),
            several => self.one_of = Some((field, several.to_vec())),
        }
        self
    }

    pub(super) fn at_most(self, field: &'static str, bound: impl Into<String>) -> Self {
        self.bound(field, Operator::LessThanOrEqual, bound.into())
    }

    pub(super) fn at_least(self, field: &'static str, bound: impl Into<String>) -> Self {
        self.bound(field, Operator::GreaterThanOrEqual, bound.into())
    }

    pub(super) fn greater_than(self, field: &'static str, bound: impl Into<String>) -> Self {
        self.bound(field, Operator::GreaterThan, bound.into())
    }

    fn bound(mut self, field: &'static str, operator: Operator, bound: String) -> Self {
        self.bounds.push((field, operator, bound));
        self
    }

    pub(super) fn order_by(self, fields: &[&'static str]) -> Self {
        self.order_in(fields, Direction::Ascending)
    }

    pub(super) fn order_by_descending(self, fields: &[&'static str]) -> Self {
        self.order_in(fields, Direction::Descending)
    }

    fn order_in(mut self, fields: &[&'static str], direction: Direction) -> Self {
        self.order.extend(fields.iter().map(|field| (*field, direction)));
        self
    }

    /// Starts after the document with this [position](Self::position_of).
    pub(super) fn start_after(mut self, position: Option<Vec<pb::Value>>) -> Self {
        self.start_after = position;
        self
    }

    /// Returns the position of a document in the order of this query: the values of the fields of the order, and
    /// the name, which breaks ties.
    pub(super) fn position_of(&self, document: &pb::Document) -> Vec<pb::Value> {
        let value =
            |(name, _): &(&'static str, Direction)| document.fields.get(*name).cloned().unwrap_or_default();
        let mut position: Vec<_> = self.order.iter().map(value).collect();
        position.push(reference(document.name.as_str()));
        position
    }

    pub(super) fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Returns the query as it is sent. A query that starts after a position is also ordered by name, because the
    /// position contains the name.
    pub(super) fn to_proto(&self, collection: &str) -> pb::StructuredQuery {
        let last = self
            .order
            .last()
            .map_or(Direction::Ascending, |(_, direction)| *direction);
        let by_name = self.start_after.as_ref().map(|_| order("__name__", last));
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
            start_at: self.start_after.clone().map(|values| pb::Cursor {
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
            .map(|(field, value)| compare(field, Operator::Equal, value.clone()));
        let one_of = self.one_of.iter().map(|(field, values)| {
            let values = values.iter().map(text).collect();
            compare(field, Operator::In, array(values))
        });
        let bounds = self
            .bounds
            .iter()
            .map(|(field, operator, bound)| compare(field, *operator, text(bound)));
        let not_null = self.not_null.iter().map(|field| is_not_null(field));
        equals.chain(one_of).chain(bounds).chain(not_null).collect()
    }

    /// Returns the composite index that serves the query: the fields that are compared for equality, in any
    /// order, then the fields of the query's order. Returns `None` if the index on a single field is enough.
    pub(super) fn required_index(&self) -> Option<Index> {
        let one_of = self.one_of.iter().map(|(field, _)| *field);
        let mut equal: Vec<_> = self
            .equals
            .iter()
            .map(|(field, _)| *field)
            .chain(one_of)
            .collect();
        equal.sort_unstable();
        let ordered: Vec<_> = self
            .order
            .iter()
            .map(|(field, direction)| (*field, *direction == Direction::Descending))
            .collect();
        (equal.len() + ordered.len() > 1).then_some(Index { equal, ordered })
    }
}

/// A composite index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    /// The fields that are compared for equality, in any order.
    pub(super) equal: Vec<&'static str>,
    /// The fields of the order, and whether each is descending.
    pub(super) ordered: Vec<(&'static str, bool)>,
}

impl Index {
    /// Returns the `gcloud` command that creates the index.
    pub(super) fn command(&self, collection: &str, project: &str, database: &str) -> String {
        let equal = self.equal.iter().map(|field| (*field, false));
        let mut command = format!(
            "gcloud firestore indexes composite create --project={project} --database='{database}' \
             --collection-group={collection}"
        );
        for (field, is_descending) in equal.chain(self.ordered.iter().copied()) {
            let order = if is_descending { "descending" } else { "ascending" };
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

fn compare(field: &str, operator: Operator, value: pb::Value) -> Filter {
    Filter {
        filter_type: Some(filter::FilterType::FieldFilter(FieldFilter {
            field: Some(path(field)),
            op: operator.into(),
            value: Some(value),
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
