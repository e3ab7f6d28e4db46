//! SQL that writes many claims, or many ends of claims, with one statement.
//!
//! As in [`inserts`](super::inserts), half of the cost of a statement for one row is opening the table and its
//! indexes and searching each of them. The reason for `OR FAIL` is given there too. Tasks that were created
//! one after the other are mostly claimed and ended in the same order, so their rows are adjacent. A statement
//! over a range of adjacent rows is cheaper still than one that looks up each row.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use rusqlite::params;

use super::codec::{ending_code, phase_code, to_millis};
use super::error::SqliteError;
use super::rows::RowState;
use super::statements::Statements;
use crate::task::transition::Phase;
use crate::task::{Json, LeaseToken};

/// The maximum number of rows that one statement looks up and changes.
pub(super) const ROWS_PER_STATEMENT: usize = 25;

/// The minimum number of adjacent rows that are changed as a range.
const MIN_RANGE_LEN: usize = 4;

/// The columns that the end of a claim sets to `NULL`.
const UNLEASED: &str = "lease_token = NULL, lease_until = NULL, lease_phase = NULL, lease_owner = NULL";

/// A statement in two sizes: for one row, and for up to [`ROWS_PER_STATEMENT`] rows. An unused parameter of
/// the larger one is `NULL`, which matches no row.
struct StatementTexts {
    one: String,
    many: String,
}

impl StatementTexts {
    fn new(text: impl Fn(usize) -> String) -> Self {
        Self {
            one: text(1),
            many: text(ROWS_PER_STATEMENT),
        }
    }

    /// Returns the text for this number of rows, and the number of rows that it has parameters for.
    fn for_rows(&'static self, rows: usize) -> (&'static str, usize) {
        if rows == 1 {
            (&self.one, 1)
        } else {
            (&self.many, ROWS_PER_STATEMENT)
        }
    }
}

/// The leases of one demand that only count an attempt: the tasks have no previous lease and are neither
/// cancelled nor generators.
///
/// All leases have the same values except for the tokens. The token of a task is one random number plus its
/// `seq`.
pub(super) struct LeaseBatch {
    random: u64,
    seqs: Vec<i64>,
}

impl LeaseBatch {
    pub(super) fn new() -> Self {
        Self {
            // The two highest bits are 0, so that the sum with a `seq` is at most `i64::MAX`.
            random: LeaseToken::random().to_bits() >> 2,
            seqs: Vec::new(),
        }
    }

    /// Returns the token of the lease on the task in this row.
    pub(super) fn token(&self, seq: i64) -> LeaseToken {
        LeaseToken::from_bits(self.random + seq.unsigned_abs())
    }

    /// Adds the lease on the task in this row.
    pub(super) fn add(&mut self, seq: i64) {
        self.seqs.push(seq);
    }

    /// Writes the leases.
    pub(super) fn save(
        mut self,
        statements: &mut Statements<'_>,
        until: DateTime<Utc>,
        owner: &Arc<str>,
    ) -> Result<(), SqliteError> {
        const SET: &str =
            "UPDATE OR FAIL tasks SET due = NULL, attempts = attempts + 1, lease_token = ?1 + seq,
                lease_until = ?2, lease_phase = ?3, lease_owner = ?4 WHERE seq";
        static RANGE: LazyLock<String> = LazyLock::new(|| format!("{SET} BETWEEN ?5 AND ?6"));
        static SCATTERED: LazyLock<StatementTexts> = LazyLock::new(|| {
            StatementTexts::new(|rows| format!("{SET} IN ({})", parameters(5, 1, rows).join(", ")))
        });
        let mut update = |text: &'static str, seqs: &[Option<i64>]| {
            let statement = statements.get(text)?;
            statement.raw_bind_parameter(1, self.random.cast_signed())?;
            statement.raw_bind_parameter(2, to_millis(until))?;
            statement.raw_bind_parameter(3, phase_code(Phase::Run))?;
            statement.raw_bind_parameter(4, &**owner)?;
            for (parameter, seq) in (5..).zip(seqs) {
                statement.raw_bind_parameter(parameter, seq)?;
            }
            statement.raw_execute()
        };
        let mut scattered = Vec::new();
        self.seqs.sort_unstable();
        for range in self.seqs.chunk_by(|a, b| a + 1 == *b) {
            if range.len() < MIN_RANGE_LEN {
                scattered.extend(range.iter().copied().map(Some));
            } else {
                update(&RANGE, &[range.first().copied(), range.last().copied()])?;
            }
        }
        for chunk in scattered.chunks(ROWS_PER_STATEMENT) {
            let (text, rows) = SCATTERED.for_rows(chunk.len());
            let mut seqs = chunk.to_vec();
            seqs.resize(rows, None);
            update(text, &seqs)?;
        }
        Ok(())
    }
}

/// The end of a cached claim.
pub(super) struct ClaimEnd {
    pub(super) token: LeaseToken,
    /// The state after the end.
    pub(super) row: RowState,
}

impl ClaimEnd {
    /// Returns the random number that the tokens of one [`LeaseBatch`] share.
    fn random(&self) -> i64 {
        let seq = self.row.seq.unsigned_abs();
        self.token.to_bits().wrapping_sub(seq).cast_signed()
    }

    /// Returns the values of `ending` and `done_at`.
    fn done(&self) -> Option<(i64, i64)> {
        let done = self.row.state.done?;
        Some((ending_code(done.how), to_millis(done.at)))
    }

    fn result(&self) -> Option<&str> {
        self.row.state.result.as_ref().map(Json::as_str)
    }

    /// Returns whether `next` is the end of the claim in the next row and writes the same values.
    fn extends_range(&self, next: &Self) -> bool {
        self.row.seq + 1 == next.row.seq
            && self.random() == next.random()
            && self.done() == next.done()
            && self.result() == next.result()
    }
}

/// Writes the ends of claims of tasks that are not generators. Returns whether every row still had its claim
/// and no cancellation; if not, the transaction must be rolled back.
pub(super) fn save_claim_ends(
    statements: &mut Statements<'_>,
    mut ends: Vec<ClaimEnd>,
) -> Result<bool, SqliteError> {
    ends.sort_unstable_by_key(|end| end.row.seq);
    let mut scattered = Vec::new();
    for range in ends.chunk_by(ClaimEnd::extends_range) {
        if range.len() < MIN_RANGE_LEN {
            scattered.extend(range);
        } else if save_range(statements, range)? != range.len() {
            return Ok(false);
        }
    }
    for chunk in scattered.chunks(ROWS_PER_STATEMENT) {
        if save_scattered(statements, chunk)? != chunk.len() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes the ends of adjacent rows with equal values. Returns the number of rows that still had their
/// claims.
fn save_range(statements: &mut Statements<'_>, range: &[ClaimEnd]) -> rusqlite::Result<usize> {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "UPDATE OR FAIL tasks SET ending = ?1, done_at = ?2, result = ?3, {UNLEASED}
             WHERE seq BETWEEN ?4 AND ?5 AND lease_token = ?6 + seq AND cancelled_at IS NULL"
        )
    });
    let (Some(first), Some(last)) = (range.first(), range.last()) else {
        return Ok(0);
    };
    let (ending, done_at) = first.done().unzip();
    statements.get(&TEXT)?.execute(params![
        ending,
        done_at,
        first.result(),
        first.row.seq,
        last.row.seq,
        first.random()
    ])
}

/// Writes up to [`ROWS_PER_STATEMENT`] ends. Returns the number of rows that still had their claims.
fn save_scattered(statements: &mut Statements<'_>, ends: &[&ClaimEnd]) -> rusqlite::Result<usize> {
    static TEXTS: LazyLock<StatementTexts> = LazyLock::new(|| StatementTexts::new(scattered_text));
    let (text, rows) = TEXTS.for_rows(ends.len());
    let statement = statements.get(text)?;
    for index in 0..rows {
        let end = ends.get(index);
        let (ending, done_at) = end.and_then(|end| end.done()).unzip();
        let first = index * 5;
        statement.raw_bind_parameter(first + 1, end.map(|end| end.row.seq))?;
        statement.raw_bind_parameter(first + 2, end.map(|end| end.token.to_bits().cast_signed()))?;
        statement.raw_bind_parameter(first + 3, ending)?;
        statement.raw_bind_parameter(first + 4, done_at)?;
        statement.raw_bind_parameter(first + 5, end.and_then(|end| end.result()))?;
    }
    statement.raw_execute()
}

/// Returns the statement of [`save_scattered`]. It has five parameters for each row: `seq`, token, ending,
/// `done_at` and result.
fn scattered_text(rows: usize) -> String {
    let seqs = parameters(1, 5, rows);
    let value_by_seq = |first| {
        let cases = seqs.iter().zip(parameters(first, 5, rows));
        cases.fold("CASE seq".to_owned(), |mut text, (seq, value)| {
            let _ = write!(text, " WHEN {seq} THEN {value}");
            text
        }) + " END"
    };
    let (token, ending, done_at, result) =
        (value_by_seq(2), value_by_seq(3), value_by_seq(4), value_by_seq(5));
    let seqs = seqs.join(", ");
    format!(
        "UPDATE OR FAIL tasks SET ending = {ending}, done_at = {done_at}, result = {result}, {UNLEASED}
         WHERE seq IN ({seqs}) AND lease_token = {token} AND cancelled_at IS NULL"
    )
}

/// Returns `count` numbered parameters: `?first`, and each further one `step` higher.
fn parameters(first: usize, step: usize, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("?{}", first + n * step)).collect()
}
