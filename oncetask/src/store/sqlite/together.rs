//! Claims and their ends as they mostly are, written many rows a statement.
//!
//! As with [`inserts`](super::inserts), half of what a statement for one row costs is to open the table and its
//! indexes and to find its places in them. These say `OR FAIL` for the reason that is given there.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};

use super::rows::{self, Held, millis};
use super::statements::Statements;
use super::trouble::Trouble;
use crate::task::transition::Phase;
use crate::task::{Json, LeaseToken};

/// How many rows one statement changes.
pub(super) const ROWS: usize = 25;

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
        self,
        statements: &mut Statements<'_>,
        until: DateTime<Utc>,
        owner: &Arc<str>,
    ) -> Result<(), Trouble> {
        static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
            Texts::new(|rows| {
                let places = parameters(5, 1, rows).join(", ");
                format!(
                    "UPDATE OR FAIL tasks SET due = NULL, attempts = attempts + 1, lease_token = ?1 + seq,
                        lease_until = ?2, lease_phase = ?3, lease_owner = ?4
                     WHERE seq IN ({places})"
                )
            })
        });
        for chunk in self.places.chunks(ROWS) {
            let (text, rows) = TEXTS.of(chunk.len());
            let statement = statements.get(text)?;
            statement.raw_bind_parameter(1, self.random.cast_signed())?;
            statement.raw_bind_parameter(2, millis(until))?;
            statement.raw_bind_parameter(3, rows::phase(Phase::Run))?;
            statement.raw_bind_parameter(4, &**owner)?;
            for place in 0..rows {
                statement.raw_bind_parameter(5 + place, chunk.get(place))?;
            }
            statement.raw_execute()?;
        }
        Ok(())
    }
}

/// Writes what the ends of these claims change in tasks that are no generators, and tells whether all of them were
/// still so held and not cancelled.
pub(super) fn save_ends(
    statements: &mut Statements<'_>,
    ends: &[(LeaseToken, Held)],
) -> Result<bool, Trouble> {
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
                "UPDATE OR FAIL tasks SET ending = {ending}, done_at = {done_at}, result = {result},
                    lease_token = NULL, lease_until = NULL, lease_phase = NULL, lease_owner = NULL
                 WHERE seq IN ({places}) AND lease_token = {token} AND cancelled_at IS NULL"
            )
        })
    });
    for chunk in ends.chunks(ROWS) {
        let (text, rows) = TEXTS.of(chunk.len());
        let statement = statements.get(text)?;
        for place in 0..rows {
            let end = chunk.get(place);
            let state = end.map(|(_, held)| &held.state);
            let done = state.and_then(|state| state.done);
            let at = place * 5;
            statement.raw_bind_parameter(at + 1, end.map(|(_, held)| held.seq))?;
            statement.raw_bind_parameter(at + 2, end.map(|(token, _)| token.to_bits().cast_signed()))?;
            statement.raw_bind_parameter(at + 3, done.map(|done| rows::ending(done.how)))?;
            statement.raw_bind_parameter(at + 4, done.map(|done| millis(done.at)))?;
            let result = state.and_then(|state| state.result.as_ref());
            statement.raw_bind_parameter(at + 5, result.map(Json::as_str))?;
        }
        if statement.raw_execute()? != chunk.len() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// As many parameters, the first of them with this number, each so far behind the one before.
fn parameters(first: usize, step: usize, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("?{}", first + n * step)).collect()
}
