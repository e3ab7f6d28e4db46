//! Ids and resource keys, and the builder of both.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt::{self, Display, Write};
use std::str::FromStr;
use std::sync::Arc;

use oncetask_recurrence::limits;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The idempotency key of a task: a second task with the same id is the same task.
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

    /// Returns the id with this text. An invalid id, which is empty or too long, is refused when a task is created.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Implements the conversions and comparisons with text for an id or a key.
macro_rules! text {
    ($name:ident) => {
        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        // Its `Eq`, `Ord` and `Hash` are those of the text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, text: &str) -> bool {
                *self.0 == *text
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, text: &&str) -> bool {
                *self.0 == **text
            }
        }
    };
}

text!(TaskId);
text!(ResourceKey);

impl From<&str> for TaskId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for TaskId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&String> for TaskId {
    fn from(text: &String) -> Self {
        Self(text.as_str().into())
    }
}

impl From<&TaskId> for TaskId {
    fn from(id: &TaskId) -> Self {
        id.clone()
    }
}

impl FromStr for TaskId {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

impl FromStr for ResourceKey {
    type Err = EmptyResourceKey;

    fn from_str(text: &str) -> Result<Self, EmptyResourceKey> {
        Self::new(text).ok_or(EmptyResourceKey)
    }
}

/// The error of parsing an empty text as a [`ResourceKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmptyResourceKey;

impl Display for EmptyResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid resource key: the text is empty")
    }
}

impl std::error::Error for EmptyResourceKey {}

/// The key of the resource that a task works on: tasks of one kind and key never run at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceKey(Arc<str>);

impl ResourceKey {
    /// The maximum length of a key, in bytes.
    pub const MAX_BYTES: usize = limits::MAX_KEY_BYTES;

    /// Returns the key with this text, or `None` if the text is empty.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// Returns the key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
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

/// A builder of ids and resource keys.
///
/// Distinct values never give the same id: a value ends at a character that it cannot contain, because that character
/// is percent-encoded inside the value. `%` and `/` are percent-encoded too. The values of a resource key, and those
/// that [`raw`](Self::raw) appends, are not encoded.
#[derive(Debug)]
pub struct IdBuilder {
    text: String,
    escape: bool,
}

impl IdBuilder {
    /// Starts the id of a task whose template begins with a literal prefix.
    #[must_use]
    pub fn task() -> Self {
        Self {
            text: String::new(),
            escape: true,
        }
    }

    /// Starts the id of a task without a template. The kind is the prefix, so that the ids of two types differ.
    #[must_use]
    pub fn of_kind(kind: &str) -> Self {
        Self {
            text: format!("{kind}:"),
            escape: true,
        }
    }

    /// Starts a resource key. Tasks of different kinds may share it, and users write such keys by hand in queries, so
    /// nothing in it is percent-encoded.
    #[must_use]
    pub fn resource() -> Self {
        Self {
            text: String::new(),
            escape: false,
        }
    }

    /// Appends literal text.
    #[must_use]
    pub fn literal(mut self, text: &'static str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Appends the last value of the id or key.
    #[must_use]
    pub fn part<T: IdPart + ?Sized>(self, value: &T) -> Self {
        self.escaped(value, None)
    }

    /// Appends a value that the character `until` follows.
    #[must_use]
    pub fn part_until<T: IdPart + ?Sized>(self, value: &T, until: char) -> Self {
        self.escaped(value, Some(until))
    }

    /// Appends a value if there is one.
    #[must_use]
    pub fn optional<T: IdPart + ?Sized>(self, value: Option<&T>) -> Self {
        match value {
            Some(value) => self.part(value),
            None => self,
        }
    }

    /// Appends a value without percent-encoding.
    ///
    /// # Panics
    ///
    /// Panics if the `Display` implementation of the value returns an error, which it must not do.
    #[must_use]
    pub fn raw<T: IdPart + ?Sized>(mut self, value: &T) -> Self {
        value
            .write(&mut self.text)
            .expect("an implementation of `Display` returned an error");
        self
    }

    /// Appends a digest of the value: 128 bits of the SHA-256 of its JSON with sorted keys.
    ///
    /// # Panics
    ///
    /// Panics if the value cannot be written as JSON. A task with such a field is refused before its id is computed,
    /// because its payload cannot be written either.
    #[must_use]
    pub fn hash<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        let json = serde_json::to_value(value).expect("the value of a digest can be written as JSON");
        let mut canonical = String::new();
        write_canonical(&json, &mut canonical);
        for byte in &Sha256::digest(canonical)[..16] {
            write!(self.text, "{byte:02x}").expect("writing to a string never fails");
        }
        self
    }

    /// Returns the task id.
    #[must_use]
    pub fn id(self) -> TaskId {
        TaskId::new(self.text)
    }

    /// Returns the resource key, or `None` if its text is empty.
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
            .expect("an implementation of `Display` returned an error");
        self
    }
}

/// Writes JSON with sorted keys, so that the digest does not depend on the type of a map.
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
    fn ids_and_keys_compare_with_text() {
        let id = TaskId::new("a");
        assert_eq!(id, "a");
        assert_eq!(id, "a".parse::<TaskId>().unwrap());
        assert_eq!(format!("{id:>3}"), "  a");
        let map = std::collections::HashMap::from([(id, 1)]);
        assert_eq!(map.get("a"), Some(&1));
        assert_eq!("k".parse::<ResourceKey>().unwrap(), "k");
        assert_eq!("".parse::<ResourceKey>(), Err(EmptyResourceKey));
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
