//! Claims and their ends as they mostly are, written many rows a statement.
//!
//! As with [`inserts`](super::inserts), half of what a statement for one row costs is to open the table and its
//! indexes and to find its places in them. These say `OR FAIL` for the reason that is given there. Tasks that were
//! created one after the other are mostly claimed so and end so: to walk along them is cheaper still than to look
//! each of them up.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use rusqlite::params;

use super::rows::{self, Held, millis};
use super::statements::Statements;
use super::trouble::Trouble;
use crate::task::transition::Phase;
use crate::task::{Json, LeaseToken};

/// How many rows one statement changes that looks each of them up.
pub(super) const ROWS: usize = 25;

/// From how many rows on that lie side by side they are changed by one walk along them.
const RUN: usize = 4;

/// A text for one row, and one for up to [`ROWS`]: places that are not needed are NULL, which no row is at.
struct Texts {
    one: String,
    many: String,
}

impl Texts {
    fn new(text: impl Fn(usize) -> String) -> Self {
        Self {
            one: text(1),
            many: text(ROWS),
        }
    }

    /// The text for as many rows, and for how many it has places.
    fn of(&'static self, rows: usize) -> (&'static str, usize) {
        if rows == 1 {
            (&self.one, 1)
        } else {
            (&self.many, ROWS)
        }
    }
}

/// First attempts and later ones, of tasks on which nobody had a lease. They share what is written, but for their
/// tokens, each of which is its task's place added to one random number.
pub(super) struct Leases {
    random: u64,
    places: Vec<i64>,
}

impl Leases {
    pub(super) fn new() -> Self {
        Self {
            // With a place added, SQLite still has an integer.
            random: LeaseToken::random().to_bits() >> 2,
            places: Vec::new(),
        }
    }

    /// The token of the lease on the task at this place.
    pub(super) fn token(&self, seq: i64) -> LeaseToken {
        LeaseToken::from_bits(self.random + seq.unsigned_abs())
    }

    pub(super) fn add(&mut self, seq: i64) {
        self.places.push(seq);
    }

    /// Writes them.
    pub(super) fn save(
        mut self,
        statements: &mut Statements<'_>,
        until: DateTime<Utc>,
        owner: &Arc<str>,
    ) -> Result<(), Trouble> {
        const SET: &str =
            "UPDATE OR FAIL tasks SET due = NULL, attempts = attempts + 1, lease_token = ?1 + seq,
                lease_until = ?2, lease_phase = ?3, lease_owner = ?4 WHERE seq";
        static RANGE: LazyLock<String> = LazyLock::new(|| format!("{SET} BETWEEN ?5 AND ?6"));
        static TEXTS: LazyLock<Texts> =
            LazyLock::new(|| Texts::new(|rows| format!("{SET} IN ({})", parameters(5, 1, rows).join(", "))));
        let mut change = |text: &'static str, places: &[Option<i64>]| {
            let statement = statements.get(text)?;
            statement.raw_bind_parameter(1, self.random.cast_signed())?;
            statement.raw_bind_parameter(2, millis(until))?;
            statement.raw_bind_parameter(3, rows::phase(Phase::Run))?;
            statement.raw_bind_parameter(4, &**owner)?;
            for (place, seq) in (5..).zip(places) {
                statement.raw_bind_parameter(place, seq)?;
            }
            statement.raw_execute()
        };
        let mut apart = Vec::new();
        self.places.sort_unstable();
        for run in self.places.chunk_by(|a, b| a + 1 == *b) {
            if run.len() < RUN {
                apart.extend(run.iter().copied().map(Some));
            } else {
                change(&RANGE, &[run.first().copied(), run.last().copied()])?;
            }
        }
        for chunk in apart.chunks(ROWS) {
            let (text, rows) = TEXTS.of(chunk.len());
            let mut places = chunk.to_vec();
            places.resize(rows, None);
            change(text, &places)?;
        }
        Ok(())
    }
}

/// The end of a claim that was taken here.
pub(super) struct End {
    pub(super) token: LeaseToken,
    pub(super) held: Held,
}

impl End {
    /// The number that the tokens of all share that were leased together.
    fn random(&self) -> i64 {
        let place = self.held.seq.unsigned_abs();
        self.token.to_bits().wrapping_sub(place).cast_signed()
    }

    fn done(&self) -> Option<(i64, i64)> {
        let done = self.held.state.done?;
        Some((rows::ending(done.how), millis(done.at)))
    }

    fn result(&self) -> Option<&str> {
        self.held.state.result.as_ref().map(Json::as_str)
    }

    /// Whether what is written is the same for both, and the other one's row is the next.
    fn goes_on_with(&self, next: &Self) -> bool {
        self.held.seq + 1 == next.held.seq
            && self.random() == next.random()
            && self.done() == next.done()
            && self.result() == next.result()
    }
}

/// Writes what the ends of these claims change in tasks that are no generators, and tells whether all of them were
/// still so held and not cancelled.
pub(super) fn save_ends(statements: &mut Statements<'_>, mut ends: Vec<End>) -> Result<bool, Trouble> {
    ends.sort_unstable_by_key(|end| end.held.seq);
    let mut apart = Vec::new();
    for run in ends.chunk_by(End::goes_on_with) {
        if run.len() < RUN {
            apart.extend(run);
        } else if save_run(statements, run)? != run.len() {
            return Ok(false);
        }
    }
    for chunk in apart.chunks(ROWS) {
        if save_apart(statements, chunk)? != chunk.len() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What an end leaves of a lease.
const UNLEASED: &str = "lease_token = NULL, lease_until = NULL, lease_phase = NULL, lease_owner = NULL";

/// Writes ends that are all the same, and tells how many of them were right.
fn save_run(statements: &mut Statements<'_>, run: &[End]) -> rusqlite::Result<usize> {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "UPDATE OR FAIL tasks SET ending = ?1, done_at = ?2, result = ?3, {UNLEASED}
             WHERE seq BETWEEN ?4 AND ?5 AND lease_token = ?6 + seq AND cancelled_at IS NULL"
        )
    });
    let (Some(first), Some(last)) = (run.first(), run.last()) else {
        return Ok(0);
    };
    let (ending, done_at) = first.done().unzip();
    let (first_seq, last_seq) = (first.held.seq, last.held.seq);
    statements.get(&TEXT)?.execute(params![
        ending,
        done_at,
        first.result(),
        first_seq,
        last_seq,
        first.random()
    ])
}

/// Writes up to [`ROWS`] ends, and tells how many of them were right.
fn save_apart(statements: &mut Statements<'_>, ends: &[&End]) -> rusqlite::Result<usize> {
    static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
        Texts::new(|rows| {
            let places = parameters(1, 5, rows);
            let of = |first| {
                let cases = places.iter().zip(parameters(first, 5, rows));
                cases.fold("CASE seq".to_owned(), |mut text, (place, value)| {
                    let _ = write!(text, " WHEN {place} THEN {value}");
                    text
                }) + " END"
            };
            let (token, ending, done_at, result) = (of(2), of(3), of(4), of(5));
            let places = places.join(", ");
            format!(
                "UPDATE OR FAIL tasks SET ending = {ending}, done_at = {done_at}, result = {result}, {UNLEASED}
                 WHERE seq IN ({places}) AND lease_token = {token} AND cancelled_at IS NULL"
            )
        })
    });
    let (text, rows) = TEXTS.of(ends.len());
    let statement = statements.get(text)?;
    for place in 0..rows {
        let end = ends.get(place);
        let (ending, done_at) = end.and_then(|end| end.done()).unzip();
        let at = place * 5;
        statement.raw_bind_parameter(at + 1, end.map(|end| end.held.seq))?;
        statement.raw_bind_parameter(at + 2, end.map(|end| end.token.to_bits().cast_signed()))?;
        statement.raw_bind_parameter(at + 3, ending)?;
        statement.raw_bind_parameter(at + 4, done_at)?;
        statement.raw_bind_parameter(at + 5, end.and_then(|end| end.result()))?;
    }
    statement.raw_execute()
}

/// As many parameters, the first of them with this number, each so far behind the one before.
fn parameters(first: usize, step: usize, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("?{}", first + n * step)).collect()
}
