//! The task types of the process tests, and the journal to which their handlers write.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use oncetask::{OnceTask, TaskId};
use serde::{Deserialize, Serialize};

/// A task whose first attempt runs until it is stopped.
#[derive(Debug, Serialize, Deserialize, OnceTask)]
#[id("ticking:{number}")]
pub struct Ticking {
    /// The number that distinguishes the tasks of a test.
    pub number: u32,
}

/// A task whose first attempt blocks its thread until a file exists, so that it cannot be stopped.
#[derive(Debug, Serialize, Deserialize, OnceTask)]
#[id("stubborn:{number}")]
pub struct Stubborn {
    /// The number that distinguishes the tasks of a test.
    pub number: u32,
    /// The file.
    pub until: PathBuf,
}

/// A short task with a resource key.
#[derive(Debug, Serialize, Deserialize, OnceTask)]
#[id("keyed:{number}:{key}")]
#[resource_key("key:{key}")]
pub struct Keyed {
    /// The number that distinguishes the tasks of a key.
    pub number: u32,
    /// The number of the key.
    pub key: u32,
}

/// A task that completes at once.
#[derive(Debug, Serialize, Deserialize, OnceTask)]
#[id("quick:{round}:{number}")]
pub struct Quick {
    /// The number that distinguishes the tasks of a round.
    pub number: u32,
    /// The round of the test.
    pub round: u32,
}

/// A file to which several processes append lines.
#[derive(Clone, Debug)]
pub struct Journal(PathBuf);

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The time in nanoseconds since the Unix epoch, by the clock that all processes of a computer share.
    pub nanos: u128,
    /// The id of the process that wrote the line.
    pub process: u32,
    /// The event: `begin`, `tick` or `end` in the process tests.
    pub event: String,
    /// The task.
    pub id: TaskId,
    /// The number of the attempt.
    pub attempt: u32,
}

impl Journal {
    /// Returns the journal in this file.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Appends a line.
    ///
    /// # Panics
    ///
    /// Panics if the file cannot be written, because a test without its journal proves nothing.
    pub fn write(&self, event: &str, id: &TaskId, attempt: u32) {
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("the clock is set")
            .as_nanos();
        let line = format!("{nanos} {} {event} {attempt} {id}\n", std::process::id());
        let file = OpenOptions::new().create(true).append(true).open(&self.0);
        // A single write of a short line to a file opened for appending is atomic.
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("the journal can be written");
    }

    /// Returns the lines so far, without an incomplete last line.
    #[must_use]
    pub fn read(&self) -> Vec<Entry> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .filter_map(parse_entry)
            .collect()
    }
}

fn parse_entry(line: &str) -> Option<Entry> {
    let mut words = line.trim_end().splitn(5, ' ');
    Some(Entry {
        nanos: words.next()?.parse().ok()?,
        process: words.next()?.parse().ok()?,
        event: words.next()?.to_owned(),
        attempt: words.next()?.parse().ok()?,
        id: TaskId::new(words.next()?),
    })
}
