//! The size of a document, as Firestore measures it.

use crate::store::firestore::proto::{Fields, ValueType, pb};

/// The maximum size of a document in bytes, including its name.
pub(in crate::store::firestore) const MAX_DOCUMENT_BYTES: usize = 1_048_576;

/// The number of bytes that Firestore adds to the size of each document.
const DOCUMENT_OVERHEAD: usize = 32;
/// The number of bytes that Firestore adds to the size of each document's name.
const NAME_OVERHEAD: usize = 16;

/// Returns the size of a document in bytes, by the rules of Firestore's documentation.
pub(in crate::store::firestore) fn document_bytes(name: &str, fields: &Fields) -> usize {
    let collections = name.split('/').skip(5);
    let name: usize = collections.map(|part| part.len() + 1).sum();
    name + NAME_OVERHEAD + DOCUMENT_OVERHEAD + fields_bytes(fields)
}

fn fields_bytes(fields: &Fields) -> usize {
    fields
        .iter()
        .map(|(name, value)| name.len() + 1 + value_bytes(value))
        .sum()
}

fn value_bytes(value: &pb::Value) -> usize {
    match &value.value_type {
        Some(ValueType::StringValue(text)) => text.len() + 1,
        Some(ValueType::IntegerValue(_) | ValueType::DoubleValue(_)) => 8,
        Some(ValueType::ArrayValue(array)) => array.values.iter().map(value_bytes).sum(),
        Some(ValueType::MapValue(map)) => fields_bytes(&map.fields),
        _ => 1,
    }
}
