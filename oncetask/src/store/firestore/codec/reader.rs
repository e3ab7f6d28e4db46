//! Taking fields out of a document. Each field has a type and a default, and an error names the field.

use chrono::{DateTime, Utc};

use super::value::name_of;
use super::{Undecodable, instant};
use crate::store::firestore::proto::{Fields, ValueType, pb};

/// The fields of a document or of a map in it.
pub(super) struct Reader<'a>(pub(super) &'a mut Fields);

impl Reader<'_> {
    /// Takes a field. Returns `None` if it is missing or null.
    fn take(&mut self, name: &str) -> Option<ValueType> {
        let value = self.0.remove(name)?.value_type?;
        (!matches!(value, ValueType::NullValue(_))).then_some(value)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Undecodable> {
        match self.take(name) {
            None => Ok(None),
            Some(ValueType::StringValue(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(name, &other, "a string")),
        }
    }

    /// Takes a string. Returns `None` if it is missing or empty.
    pub(super) fn non_empty(&mut self, name: &str) -> Result<Option<String>, Undecodable> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    pub(super) fn required(&mut self, name: &str) -> Result<String, Undecodable> {
        self.non_empty(name)?
            .ok_or_else(|| Undecodable(format!("the field `{name}` is missing")))
    }

    pub(super) fn instant(&mut self, name: &str) -> Result<Option<DateTime<Utc>>, Undecodable> {
        instant::parse(name, &self.text(name)?.unwrap_or_default())
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Undecodable> {
        match self.take(name) {
            None => Ok(false),
            Some(ValueType::BooleanValue(flag)) => Ok(flag),
            Some(other) => Err(wrong_type(name, &other, "a boolean")),
        }
    }

    pub(super) fn count(&mut self, name: &str) -> Result<Option<u32>, Undecodable> {
        match self.take(name) {
            None => Ok(None),
            Some(ValueType::IntegerValue(of)) => match u32::try_from(of) {
                Ok(of) => Ok(Some(of)),
                Err(_) => Err(Undecodable(format!("`{name}` is {of}, which is not a count"))),
            },
            Some(other) => Err(wrong_type(name, &other, "an integer")),
        }
    }

    pub(super) fn number(&mut self, name: &str) -> Result<f64, Undecodable> {
        match self.take(name) {
            Some(ValueType::DoubleValue(of)) => Ok(of),
            Some(ValueType::IntegerValue(of)) => Ok(f64::from(i32::try_from(of).unwrap_or_default())),
            Some(other) => Err(wrong_type(name, &other, "a number")),
            None => Ok(0.0),
        }
    }

    pub(super) fn map(&mut self, name: &str) -> Result<Option<Fields>, Undecodable> {
        match self.take(name) {
            None => Ok(None),
            Some(ValueType::MapValue(map)) => Ok(Some(map.fields)),
            Some(other) => Err(wrong_type(name, &other, "a map")),
        }
    }

    pub(super) fn list(&mut self, name: &str) -> Result<Vec<pb::Value>, Undecodable> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(ValueType::ArrayValue(array)) => Ok(array.values),
            Some(other) => Err(wrong_type(name, &other, "an array")),
        }
    }
}

fn wrong_type(name: &str, found: &ValueType, expected: &str) -> Undecodable {
    Undecodable(format!("`{name}` is {}, not {expected}", name_of(found)))
}
