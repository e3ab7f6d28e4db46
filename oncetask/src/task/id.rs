use std::fmt::{self, Display, Write};
use std::sync::Arc;

use oncetask_recurrence::limits;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What makes a task one task: a second task with the same id is the same task.
///
/// ```
/// use oncetask::TaskId;
///
/// let id = TaskId::new("email:bob@example.com");
/// assert_eq!(id.as_str(), "email:bob@example.com");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(Arc<str>);

impl TaskId {
    /// The maximum length of an id, in bytes.
    pub const MAX_BYTES: usize = limits::MAX_ID_BYTES;

    /// The id with this text. What cannot be an id is refused where a task is created.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for TaskId {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for TaskId {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// The resource that a task works on: tasks of one kind and key never run at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceKey(Arc<str>);

impl ResourceKey {
    /// The maximum length of a key, in bytes.
    pub const MAX_BYTES: usize = limits::MAX_KEY_BYTES;

    /// The key with this text; `None` for the empty text, which is no key.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value that may appear in an id or a resource key: anything that implements `Display`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written into a task id or resource key",
    label = "does not implement `Display`",
    note = "implement `Display` for it, or use a digest of the field: `{{field:hash}}`"
)]
pub trait IdPart {
    #[doc(hidden)]
    fn write(&self, out: &mut dyn Write) -> fmt::Result;
}

#[diagnostic::do_not_recommend]
impl<T: Display + ?Sized> IdPart for T {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// Builds an id or a key so that distinct values never yield the same text.
///
/// A value ends at a character it cannot contain: inside the value that
/// character is percent-encoded, as are `%` and `/`.
#[derive(Debug)]
pub struct IdBuilder {
    text: String,
    escape: bool,
}

impl IdBuilder {
    /// Starts the id of a task whose template begins with text of its own.
    #[must_use]
    pub fn task() -> Self {
        Self {
            text: String::new(),
            escape: true,
        }
    }

    /// Starts the id of a task without a template: the kind keeps it apart from those of other types.
    #[must_use]
    pub fn of_kind(kind: &str) -> Self {
        Self {
            text: format!("{kind}:"),
            escape: true,
        }
    }

    /// Starts a resource key, which tasks of different kinds may share.
    /// It is compared with keys that people write: nothing in it is encoded.
    #[must_use]
    pub fn resource() -> Self {
        Self {
            text: String::new(),
            escape: false,
        }
    }

    /// Appends fixed text.
    #[must_use]
    pub fn literal(mut self, text: &'static str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Appends the last value.
    #[must_use]
    pub fn part<T: IdPart + ?Sized>(self, value: &T) -> Self {
        self.escaped(value, None)
    }

    /// Appends a value that ends where `until` follows.
    #[must_use]
    pub fn part_until<T: IdPart + ?Sized>(self, value: &T, until: char) -> Self {
        self.escaped(value, Some(until))
    }

    /// Appends a value, or nothing.
    #[must_use]
    pub fn optional<T: IdPart + ?Sized>(self, value: Option<&T>) -> Self {
        match value {
            Some(value) => self.part(value),
            None => self,
        }
    }

    /// Appends a value as it is.
    ///
    /// # Panics
    ///
    /// When the `Display` implementation of the value fails, which it must not.
    #[must_use]
    pub fn raw<T: IdPart + ?Sized>(mut self, value: &T) -> Self {
        value
            .write(&mut self.text)
            .expect("a `Display` implementation failed");
        self
    }

    /// Appends a digest of the value: 128 bits of the SHA-256 of its JSON, keys sorted.
    ///
    /// # Panics
    ///
    /// When the value cannot be written as JSON. A task with such a field cannot be stored either, and is
    /// refused before its id is asked for.
    #[must_use]
    pub fn hash<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        let json = serde_json::to_value(value).expect("a hashed value must serialize to JSON");
        let mut canonical = String::new();
        write_canonical(&json, &mut canonical);
        for byte in &Sha256::digest(canonical)[..16] {
            write!(self.text, "{byte:02x}").expect("a string takes what is written to it");
        }
        self
    }

    /// The finished task id.
    #[must_use]
    pub fn id(self) -> TaskId {
        TaskId::new(self.text)
    }

    /// The finished resource key. An empty one is none.
    #[must_use]
    pub fn key(self) -> Option<ResourceKey> {
        ResourceKey::new(self.text)
    }

    fn escaped<T: IdPart + ?Sized>(mut self, value: &T, until: Option<char>) -> Self {
        if !self.escape {
            return self.raw(value);
        }
        value
            .write(&mut Escape {
                text: &mut self.text,
                until,
            })
            .expect("a `Display` implementation failed");
        self
    }
}

/// JSON whose objects have their keys in order, whatever the map type.
fn write_canonical(json: &Value, out: &mut String) {
    match json {
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, item) in entries {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(item, out);
                out.push(',');
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

struct Escape<'a> {
    text: &'a mut String,
    until: Option<char>,
}

impl Write for Escape<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            if matches!(c, '%' | '/') || self.until == Some(c) {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    write!(self.text, "%{byte:02X}")?;
                }
            } else {
                self.text.push(c);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(a: &str, b: &str) -> String {
        IdBuilder::of_kind("K")
            .part_until(a, ':')
            .literal(":")
            .part(b)
            .id()
            .to_string()
    }

    #[test]
    fn distinct_values_give_distinct_ids() {
        assert_eq!(pair("a", "b:c"), "K:a:b:c");
        assert_eq!(pair("a:b", "c"), "K:a%3Ab:c");
        assert_eq!(pair("a%3Ab", "c"), "K:a%253Ab:c");
        assert_eq!(pair("a/b", ""), "K:a%2Fb:");
    }

    #[test]
    fn the_order_of_a_map_does_not_change_its_digest() {
        let digest = |pairs: [(&str, u8); 2]| {
            let map: std::collections::HashMap<_, _> = pairs.into_iter().collect();
            IdBuilder::of_kind("K").hash(&map).id()
        };
        assert_eq!(digest([("a", 1), ("b", 2)]), digest([("b", 2), ("a", 1)]));
    }
}
