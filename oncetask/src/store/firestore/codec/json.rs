//! JSON values in a document, without loss: as a Firestore value that every program reads, and in addition as text
//! if the Firestore value cannot represent the whole value.

use super::Undecodable;
use super::value::{number_is_lossless, to_json, to_value};
use crate::store::firestore::proto::{Fields, pb, text};
use crate::task::Json;

/// Adds a JSON value under one name, and its text under the other if the value alone would lose information.
pub(super) fn put(fields: &mut Fields, name: &str, text_name: &str, json: &Json) {
    let value = to_value(&json.value());
    if !is_lossless(json, &value) {
        fields.insert(text_name.to_owned(), text(json.as_str()));
    }
    fields.insert(name.to_owned(), value);
}

/// Takes a JSON value out. The text counts only if the Firestore value is the one that we write with this text:
/// otherwise a program that does not know the text has changed the value.
pub(super) fn take(fields: &mut Fields, name: &str, full_text: Option<String>) -> Result<Json, Undecodable> {
    let value = fields.remove(name).unwrap_or_default();
    let full = full_text.and_then(|text| Json::parse(text).ok());
    match full.filter(|json| to_value(&json.value()) == value) {
        Some(json) => Ok(json),
        None => to_json(value).map(Json::from),
    }
}

/// Returns whether the Firestore value represents the whole JSON value.
fn is_lossless(json: &Json, value: &pb::Value) -> bool {
    let is_same = !json.value().is_null() && to_json(value.clone()).is_ok_and(|back| back == json.value());
    is_same && numbers(json.as_str()).all(number_is_lossless)
}

/// Returns the numbers in a JSON text as they are written, because a number may have more digits than the double that
/// it parses to.
fn numbers(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
            rest = &rest[start..];
            if rest.starts_with('"') {
                rest = after_string(rest);
                continue;
            }
            let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            rest = after;
            return Some(number);
        }
    })
}

/// Returns the rest of a JSON text after the string at its beginning.
fn after_string(json: &str) -> &str {
    let mut escaped = false;
    let end = json[1..].find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or("", |end| &json[end + 2..])
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn round_trip(json: &str) -> (Json, bool) {
        let json = Json::parse(json).expect("valid JSON");
        let mut fields = Fields::new();
        put(&mut fields, "data", "dataJson", &json);
        let full_text = match fields.remove("dataJson").and_then(|value| value.value_type) {
            Some(crate::store::firestore::proto::ValueType::StringValue(text)) => Some(text),
            _ => None,
        };
        let kept = full_text.is_some();
        (take(&mut fields, "data", full_text).expect("a JSON value"), kept)
    }

    #[test]
    fn a_value_that_firestore_can_represent_needs_no_text() {
        for json in [
            r#"{"a":[1,{"b":[2.5,null]}],"c.d`e":true,"ü":"\"1.0\""}"#,
            r#"{"max":9223372036854775807,"min":-9223372036854775808,"tiny":5e-324}"#,
            "{}",
            r#""1.0 \\\" 2.0""#,
            "[]",
            "false",
        ] {
            let (back, kept) = round_trip(json);
            assert_eq!(back.as_str(), json);
            assert!(!kept, "{json} is stored twice");
        }
    }

    #[test]
    fn a_value_that_firestore_cannot_represent_is_not_changed() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(30), "}".repeat(30));
        for json in [
            r#"{"grid":[[1,2],[3,[4]]]}"#,
            r#"{"n":18446744073709551615}"#,
            r#"{"n":123456789012345678901234567890}"#,
            r#"{"n":1.0}"#,
            r#"{"n":-0.0}"#,
            r#"{"":"an empty name"}"#,
            r#"{"__reserved__":1}"#,
            "null",
            "[[]]",
            &deep,
        ] {
            let (back, kept) = round_trip(json);
            assert_eq!(back.as_str(), json);
            assert!(kept, "{json} has no text");
        }
    }

    #[test]
    fn a_text_that_does_not_match_the_value_is_ignored() {
        let mut fields = Fields::new();
        put(&mut fields, "result", "resultJson", &Json::from(Value::from(2)));
        let old = take(&mut fields, "result", Some("[[1]]".into()));
        assert_eq!(old, Ok(Json::from(Value::from(2))));
    }
}
