//! A task's errors in its document: Go's `{at, error}` with fields of our own.

use super::Undecodable;
use super::instant::exact;
use super::reader::Reader;
use crate::store::firestore::proto::{Fields, ValueType, array, boolean, integer, map, null, pb, text};
use crate::task::AttemptError;

pub(super) fn to_value(errors: &[AttemptError]) -> pb::Value {
    if errors.is_empty() {
        return null();
    }
    array(errors.iter().map(entry).collect())
}

fn entry(error: &AttemptError) -> pb::Value {
    let mut fields = Fields::from([
        ("at".to_owned(), text(exact(error.at))),
        ("error".to_owned(), text(error.error.as_str())),
        ("attempt".to_owned(), integer(error.attempt)),
    ]);
    if error.cleanup {
        fields.insert("cleanup".to_owned(), boolean(true));
    }
    map(fields)
}

pub(super) fn from_values(values: Vec<pb::Value>) -> Result<Vec<AttemptError>, Undecodable> {
    values.into_iter().map(read).collect()
}

fn read(value: pb::Value) -> Result<AttemptError, Undecodable> {
    let Some(ValueType::MapValue(mut map)) = value.value_type else {
        return Err(Undecodable("`errors` contains a value that is not a map".into()));
    };
    let mut entry = Reader(&mut map.fields);
    Ok(AttemptError {
        at: entry
            .instant("at")?
            .ok_or_else(|| Undecodable("an entry of `errors` has no `at`".into()))?,
        attempt: entry.count("attempt")?.unwrap_or_default(),
        cleanup: entry.flag("cleanup")?,
        error: entry.text("error")?.unwrap_or_default(),
    })
}
