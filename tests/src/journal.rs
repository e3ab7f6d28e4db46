//! What workers of the process tests do, and where they write it down.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use oncetask::{OnceTask, TaskId};
use serde::{Deserialize, Serialize};

/// A task whose first attempt never ends by itself.
#[derive(Debug, Serialize, Deserialize, OnceTask)]
#[id("ticking:{number}")]
pub struct Ticking {
    /// Which one.
    pub number: u32,
}

/// A task whose first attempt cannot be stopped: it blocks its thread until a file exists.
#[derive(Debug, Serialize, Deserialize, OnceTask)]
#[id("stubborn:{number}")]
pub struct Stubborn {
    /// Which one.
    pub number: u32,
    /// The file.
    pub until: PathBuf,
}

/// A short task of a resource key.
#[derive(Debug, Serialize, Deserialize, OnceTask)]
#[id("keyed:{number}:{key}")]
#[resource_key("key:{key}")]
pub struct Keyed {
    /// Which one.
    pub number: u32,
    /// Of which key.
    pub key: u32,
}

/// A task that is done at once.
#[derive(Debug, Serialize, Deserialize, OnceTask)]
#[id("quick:{round}:{number}")]
pub struct Quick {
    /// Which one.
    pub number: u32,
    /// Of which round of a test.
    pub round: u32,
}

/// A file to which processes append lines.
#[derive(Clone, Debug)]
pub struct Journal(PathBuf);

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// By the clock that all processes of a computer share.
    pub nanos: u128,
    /// Who wrote it.
    pub process: u32,
    /// `begin`, `tick` or `end`.
    pub event: String,
    /// The task.
    pub id: TaskId,
    /// The attempt.
    pub attempt: u32,
}

impl Journal {
    /// The journal in this file.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Appends a line.
    ///
    /// # Panics
    ///
    /// When the file cannot be written: a test without its journal proves nothing.
    pub fn write(&self, event: &str, id: &TaskId, attempt: u32) {
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("the clock is set")
            .as_nanos();
        let line = format!("{nanos} {} {event} {attempt} {id}\n", std::process::id());
        let file = OpenOptions::new().create(true).append(true).open(&self.0);
        // One write of a short line to a file opened for appending is not torn.
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("the journal can be written");
    }

    /// What was written so far. A line that is being written is left out.
    #[must_use]
    pub fn read(&self) -> Vec<Entry> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .filter_map(entry)
            .collect()
    }
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.trim_end().splitn(5, ' ');
    Some(Entry {
        nanos: words.next()?.parse().ok()?,
        process: words.next()?.parse().ok()?,
        event: words.next()?.to_owned(),
        attempt: words.next()?.parse().ok()?,
        id: TaskId::new(words.next()?),
    })
}
