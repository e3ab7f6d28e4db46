//! Tasks as documents: the format that is shared with the Go library of the same name.
//!
//! The fields that Go reads have Go's names, types and spelling. All other data is in fields of our own. Each of them
//! has a default, and each is used only while Go's fields do not contradict it, because Go updates the fields that it
//! knows and leaves ours unchanged.

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

/// The reason why a document cannot be decoded as a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Undecodable(pub(super) String);

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
