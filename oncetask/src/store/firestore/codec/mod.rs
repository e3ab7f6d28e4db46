//! Between tasks and documents: the format that is shared with the Go library of the same name.
//!
//! What Go reads has Go's names, types and spelling. What it does not know is kept in fields of our own,
//! each of which has a default, and each of which is believed only while what Go wrote since does not
//! contradict it: Go updates the fields that it knows and leaves ours as they were.

mod document;
mod errors;
#[cfg(test)]
mod golden;
mod instant;
mod json;
mod name;
mod reader;
mod recurrence;
mod size;
mod value;

use std::fmt;

pub(super) use self::document::{Marks, Stored, changes, decode, encode, field};
pub(super) use self::instant::{exact, second, second_up};
pub(super) use self::name::Names;
pub(super) use self::size::{MAX_DOCUMENT_BYTES, document_bytes};

/// Why a document is no task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Undecodable(pub(super) String);

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
