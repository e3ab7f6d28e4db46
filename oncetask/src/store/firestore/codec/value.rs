//! The conversion between JSON and Firestore's values.

use serde_json::{Map, Number, Value as Json};

use super::Undecodable;
use crate::store::firestore::proto::{
    Fields, ValueType, array, boolean, double, integer, map, null, pb, text,
};

/// The maximum depth of nested maps and arrays, including the field itself.
const MAX_DEPTH: usize = 20;
/// The maximum length of a field name in bytes.
const MAX_NAME_BYTES: usize = 1500;
/// The largest number up to which a double represents every integer. A double without a fraction up to this number is
/// read as an integer, because the Go library stores every number as a double.
const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

/// Returns the part of a JSON value that Firestore can represent. A list in a list and a value that is nested too
/// deeply become `null`. A number that is not an `i64` becomes the nearest double. A field with a forbidden name is
/// left out. The module [`json`](super::json) stores the whole value.
pub(super) fn to_value(json: &Json) -> pb::Value {
    at_depth(json, 1)
}

fn at_depth(json: &Json, depth: usize) -> pb::Value {
    match json {
        Json::Null => null(),
        Json::Bool(of) => boolean(*of),
        Json::Number(of) => number(of),
        Json::String(of) => text(of.as_str()),
        Json::Array(_) | Json::Object(_) if depth > MAX_DEPTH => null(),
        Json::Array(items) => array(items.iter().map(|item| in_array(item, depth + 1)).collect()),
        Json::Object(members) => map(fields(members, depth + 1)),
    }
}

fn in_array(item: &Json, depth: usize) -> pb::Value {
    if item.is_array() {
        null()
    } else {
        at_depth(item, depth)
    }
}

fn fields(members: &Map<String, Json>, depth: usize) -> Fields {
    members
        .iter()
        .filter(|(name, _)| is_field_name(name))
        .map(|(name, value)| (name.clone(), at_depth(value, depth)))
        .collect()
}

fn is_field_name(name: &str) -> bool {
    let reserved = name.len() >= 4 && name.starts_with("__") && name.ends_with("__");
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && !reserved
}

fn number(of: &Number) -> pb::Value {
    match of.as_i64() {
        Some(of) => integer(of),
        None => double(of.as_f64().unwrap_or_default()),
    }
}

/// Returns a Firestore value as JSON.
pub(super) fn to_json(value: pb::Value) -> Result<Json, Undecodable> {
    match value.value_type {
        None | Some(ValueType::NullValue(_)) => Ok(Json::Null),
        Some(ValueType::BooleanValue(of)) => Ok(Json::Bool(of)),
        Some(ValueType::IntegerValue(of)) => Ok(of.into()),
        Some(ValueType::DoubleValue(of)) => from_double(of),
        Some(ValueType::StringValue(of)) => Ok(Json::String(of)),
        Some(ValueType::ArrayValue(of)) => of.values.into_iter().map(to_json).collect(),
        Some(ValueType::MapValue(of)) => members(of.fields),
        Some(other) => Err(Undecodable(format!(
            "it contains {}, which JSON cannot represent",
            name_of(&other)
        ))),
    }
}

fn members(fields: Fields) -> Result<Json, Undecodable> {
    // The maps of a document have no order. Sorting makes the JSON the same each time.
    let mut fields: Vec<_> = fields.into_iter().collect();
    fields.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    fields
        .into_iter()
        .map(|(name, value)| Ok((name, to_json(value)?)))
        .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
fn from_double(of: f64) -> Result<Json, Undecodable> {
    if of.fract() == 0.0 && of.abs() <= MAX_EXACT_INTEGER {
        return Ok((of as i64).into());
    }
    Number::from_f64(of).map(Json::Number).ok_or_else(|| {
        Undecodable(format!(
            "it contains the number {of}, which JSON cannot represent"
        ))
    })
}

/// Returns the name of a value's type, for error messages.
pub(super) fn name_of(value: &ValueType) -> &'static str {
    match value {
        ValueType::NullValue(_) => "null",
        ValueType::BooleanValue(_) => "a boolean",
        ValueType::IntegerValue(_) => "an integer",
        ValueType::DoubleValue(_) => "a double",
        ValueType::TimestampValue(_) => "a timestamp",
        ValueType::StringValue(_) => "a string",
        ValueType::BytesValue(_) => "bytes",
        ValueType::ReferenceValue(_) => "a reference",
        ValueType::GeoPointValue(_) => "a geographical point",
        ValueType::ArrayValue(_) => "an array",
        ValueType::MapValue(_) => "a map",
        _ => "a value of a type that this version does not know",
    }
}

/// Returns whether the text of a number can be restored from its stored value.
pub(super) fn number_is_lossless(token: &str) -> bool {
    if let Ok(whole) = token.parse::<i64>() {
        return whole.to_string() == token;
    }
    let Ok(of) = token.parse::<f64>() else {
        return false;
    };
    match from_double(of) {
        Ok(json) => json.to_string().as_str() == token,
        Err(_) => false,
    }
}
