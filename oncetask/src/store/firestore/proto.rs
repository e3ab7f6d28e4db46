//! The messages of the generated client, and short functions that build them. Only this module, `connect`,
//! `connection` and `rpc` use the parts of the crate `firestore` that it calls unsupported.

use std::collections::HashMap;

pub(super) use ::firestore::gcloud_sdk::google::firestore::v1 as pb;
pub(super) use ::firestore::gcloud_sdk::prost::Message;
pub(super) use ::firestore::gcloud_sdk::prost_types::Timestamp;
pub(super) use ::firestore::gcloud_sdk::tonic::{Code, Status};

pub(super) use pb::value::ValueType;

/// The fields of a document or a map.
pub(super) type Fields = HashMap<String, pb::Value>;

pub(super) fn value(of: ValueType) -> pb::Value {
    pb::Value { value_type: Some(of) }
}

pub(super) fn null() -> pb::Value {
    value(ValueType::NullValue(0))
}

pub(super) fn text(of: impl Into<String>) -> pb::Value {
    value(ValueType::StringValue(of.into()))
}

pub(super) fn integer(of: impl Into<i64>) -> pb::Value {
    value(ValueType::IntegerValue(of.into()))
}

pub(super) fn double(of: f64) -> pb::Value {
    value(ValueType::DoubleValue(of))
}

pub(super) fn boolean(of: bool) -> pb::Value {
    value(ValueType::BooleanValue(of))
}

pub(super) fn array(values: Vec<pb::Value>) -> pb::Value {
    value(ValueType::ArrayValue(pb::ArrayValue { values }))
}

pub(super) fn map(fields: Fields) -> pb::Value {
    value(ValueType::MapValue(pb::MapValue { fields }))
}

pub(super) fn reference(name: impl Into<String>) -> pb::Value {
    value(ValueType::ReferenceValue(name.into()))
}

/// The state of the stored document that a write demands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Precondition {
    /// The document does not exist.
    Absent,
    /// The document was not written after this update time.
    Unchanged(Timestamp),
}

impl Precondition {
    fn into_proto(self) -> pb::Precondition {
        use pb::precondition::ConditionType;
        let condition = match self {
            Self::Absent => ConditionType::Exists(false),
            Self::Unchanged(since) => ConditionType::UpdateTime(since),
        };
        pb::Precondition {
            condition_type: Some(condition),
        }
    }
}

/// Returns the write of a whole document.
pub(super) fn put(name: String, fields: Fields, condition: Precondition) -> pb::Write {
    write(
        pb::write::Operation::Update(document(name, fields)),
        None,
        condition,
    )
}

/// Returns the write of the fields in the mask. A field in the mask without a value is removed.
pub(super) fn patch(name: String, fields: Fields, mask: Vec<String>, condition: Precondition) -> pb::Write {
    let mask = pb::DocumentMask { field_paths: mask };
    write(
        pb::write::Operation::Update(document(name, fields)),
        Some(mask),
        condition,
    )
}

/// Returns the write that deletes a document.
pub(super) fn remove(name: String, condition: Precondition) -> pb::Write {
    write(pb::write::Operation::Delete(name), None, condition)
}

fn document(name: String, fields: Fields) -> pb::Document {
    pb::Document {
        name,
        fields,
        ..pb::Document::default()
    }
}

fn write(
    operation: pb::write::Operation,
    mask: Option<pb::DocumentMask>,
    condition: Precondition,
) -> pb::Write {
    pb::Write {
        update_mask: mask,
        current_document: Some(condition.into_proto()),
        operation: Some(operation),
        ..pb::Write::default()
    }
}

/// Returns the name of the document that a write changes.
pub(super) fn target(write: &pb::Write) -> &str {
    match &write.operation {
        Some(pb::write::Operation::Update(document)) => &document.name,
        Some(pb::write::Operation::Delete(name)) => name,
        _ => "",
    }
}
