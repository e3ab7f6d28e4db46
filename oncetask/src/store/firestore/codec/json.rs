//! A JSON value in a document, whole: as a Firestore value that everybody reads, and beside it as text where
//! the value alone would not give it back.

use super::super::proto::{Fields, pb, text};
use super::Undecodable;
use super::value::{number_comes_back, to_json, to_value};
use crate::task::Json;

/// Adds a JSON value under one name, and its text under the other if it needs that.
pub(super) fn put(fields: &mut Fields, name: &str, text_name: &str, json: &Json) {
    let value = to_value(&json.value());
    if !comes_back(json, &value) {
        fields.insert(text_name.to_owned(), text(json.as_str()));
    }
    fields.insert(name.to_owned(), value);
}

/// Takes a JSON value out. The text is believed as long as the value is what we would write beside it:
/// whoever has changed the value since knew nothing of the text.
pub(super) fn take(fields: &mut Fields, name: &str, whole: Option<String>) -> Result<Json, Undecodable> {
    let value = fields.remove(name).unwrap_or_default();
    let whole = whole.and_then(|text| Json::parse(text).ok());
    match whole.filter(|json| to_value(&json.value()) == value) {
        Some(json) => Ok(json),
        None => to_json(value).map(Json::from),
    }
}

fn comes_back(json: &Json, value: &pb::Value) -> bool {
    let whole = !json.value().is_null() && to_json(value.clone()).is_ok_and(|back| back == json.value());
    whole && numbers(json.as_str()).all(number_comes_back)
}

/// The numbers in a JSON text, as they are written: what parses to one double may have had more digits.
fn numbers(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
            rest = &rest[start..];
            if rest.starts_with('"') {
                rest = behind_string(rest);
                continue;
            }
            let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (number, behind) = rest.split_at(end);
            rest = behind;
            return Some(number);
        }
    })
}

/// What follows the string that a text begins with.
fn behind_string(json: &str) -> &str {
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
        let whole = match fields.remove("dataJson").and_then(|value| value.value_type) {
            Some(super::super::super::proto::ValueType::StringValue(text)) => Some(text),
            _ => None,
        };
        let kept = whole.is_some();
        (take(&mut fields, "data", whole).expect("a JSON value"), kept)
    }

    #[test]
    fn what_firestore_holds_needs_no_text() {
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
    fn what_firestore_cannot_hold_comes_back_whole() {
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
            assert!(kept, "{json} was changed");
        }
    }

    #[test]
    fn a_text_that_the_value_has_outlived_is_not_believed() {
        let mut fields = Fields::new();
        put(&mut fields, "result", "resultJson", &Json::from(Value::from(2)));
        let old = take(&mut fields, "result", Some("[[1]]".into()));
        assert_eq!(old, Ok(Json::from(Value::from(2))));
    }
}
