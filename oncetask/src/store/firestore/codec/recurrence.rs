//! A generator's rule in its document.

use super::super::proto::{Fields, map, pb, text};
use super::Undecodable;
use super::reader::Reader;
use crate::schedule::Recurrence;

const DEFINITION: &str = "definition";

pub(super) fn to_value(rule: &Recurrence) -> pb::Value {
    let definition = serde_json::to_string(rule).expect("a rule is text and lists of it");
    map(Fields::from([(DEFINITION.to_owned(), text(definition))]))
}

pub(super) fn from_map(mut fields: Fields) -> Result<Recurrence, Undecodable> {
    let definition = Reader(&mut fields).required(DEFINITION)?;
    serde_json::from_str(&definition)
        .map_err(|error| Undecodable(format!("its rule cannot be read: {error}")))
}
