//! JSON values as text.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A JSON value as text: the form of payloads and results.
///
/// The text goes from the caller to the store and to the handler without being parsed in between.
///
/// ```
/// use oncetask::task::Json;
///
/// let json = Json::of(&vec![1, 2])?;
/// assert_eq!(json.as_str(), "[1,2]");
/// assert_eq!(json.read::<Vec<u8>>()?, [1, 2]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Arc<str>);

const EMPTY: &str = "{}";

impl Json {
    /// The maximum size of a payload or a result, in bytes. A Firestore document holds about 1 MiB, and the limit is
    /// the same in every store.
    pub const MAX_BYTES: usize = 1024 * 1024;

    /// Returns the JSON of a value.
    ///
    /// # Errors
    ///
    /// Returns serde's error if the value cannot be written as JSON, for example a map whose keys are not strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(|text| Self(text.into()))
    }

    /// Checks that a text is JSON, and returns it.
    ///
    /// # Errors
    ///
    /// Returns serde's error if the text is not JSON.
    pub fn parse(text: impl Into<String>) -> Result<Self, serde_json::Error> {
        let text = text.into();
        serde_json::from_str::<serde::de::IgnoredAny>(&text)?;
        Ok(Self(text.into()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Decodes the value.
    ///
    /// # Errors
    ///
    /// Returns serde's error, with the path of the field, if the value does not have the shape of the type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        // Tracking the path is slow, so a second pass does it, and only after an error.
        serde_json::from_str(&self.0).or_else(|_| self.read_with_path())
    }

    fn read_with_path<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        let mut input = serde_json::Deserializer::from_str(&self.0);
        serde_path_to_error::deserialize(&mut input).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            if path == "." {
                inner
            } else {
                serde::de::Error::custom(format!("`{path}`: {inner}"))
            }
        })
    }

    /// Parses the value. If another program damaged the stored text, so that it is not JSON, the text is returned as
    /// a string.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_else(|_| Value::String(self.0.to_string()))
    }

    /// Returns the payload of a task. A unit struct, which serde writes as `null`, becomes an empty object, because a
    /// payload is always an object.
    pub(crate) fn payload_of<T: Serialize + ?Sized>(task: &T) -> Result<Self, serde_json::Error> {
        let json = Self::of(task)?;
        Ok(if json.as_str() == "null" {
            Self(EMPTY.into())
        } else {
            json
        })
    }

    /// Decodes a payload that [`payload_of`](Self::payload_of) made.
    pub(crate) fn read_payload<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.read().or_else(|error| {
            let unit = if self.as_str() == EMPTY {
                serde_json::from_str("null").ok()
            } else {
                None
            };
            unit.ok_or(error)
        })
    }

    pub(crate) fn is_object(&self) -> bool {
        self.0.trim_start().starts_with('{')
    }

    /// Returns JSON with a text that one of our stores wrote, without checking it.
    #[cfg(any(test, feature = "sqlite"))]
    pub(crate) fn trusted(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self(value.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_text_is_a_string() {
        let damaged = Json::trusted(r#"{"to"1}"#);
        assert_eq!(damaged.value(), Value::String(r#"{"to"1}"#.to_owned()));
        assert!(damaged.read::<Value>().is_err());
    }
}
