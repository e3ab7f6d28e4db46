//! Claims: what is due, by due time and then creation.

use std::cmp::Ordering;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::names;
use super::rows::{self, Stored, TASK_COLUMNS, task_columns};
use super::together::Leases;
use super::trouble::Trouble;
use super::tx::Tx;
use crate::store::{Claim, ClaimRequest, ClaimResponse, ClaimedTask, Demand};
use crate::task::transition::{self, Phase};
use crate::task::{Lease, Task};

/// How long a task is put off that cannot be read.
const PUT_OFF: TimeDelta = TimeDelta::hours(1);

/// What stands in a queue: a task, or a resource key on behalf of its tasks.
struct Head {
    due: i64,
    seq: i64,
    slot: Slot,
}

enum Slot {
    Task(Box<Stored>),
    Key(String),
}

/// The number and the name of a kind.
type Kind = (i64, Arc<str>);

/// A demand, and what its kinds are called in this file.
struct Search<'a> {
    env: i64,
    place: usize,
    demand: &'a Demand,
    kinds: Vec<Kind>,
    owner: &'a Arc<str>,
    now: DateTime<Utc>,
}

/// Claims what is asked for.
pub(super) fn claim(tx: &mut Tx<'_>, env: i64, request: &ClaimRequest) -> Result<ClaimResponse, Trouble> {
    let mut claimed = ClaimResponse::default();
    let searches = searches(env, request, |env, kind| tx.names.kind(tx.db, env, kind))?;
    for search in &searches {
        search.claim(tx, &mut claimed.claims)?;
    }
    for search in &searches {
        tx.place_keys()?;
        claimed.next_due.push(search.next_due(tx.db)?);
    }
    Ok(claimed)
}

/// What is answered if nothing is due, which takes no lock to find out.
pub(super) fn nothing_due(
    db: &Connection,
    env: &str,
    request: &ClaimRequest,
) -> Result<Option<ClaimResponse>, Trouble> {
    let mut claimed = ClaimResponse::default();
    let Some(env) = names::env(db, env)? else {
        claimed.next_due.resize(request.demands.len(), None);
        return Ok(Some(claimed));
    };
    for search in searches(env, request, |env, kind| names::kind(db, env, kind))? {
        let next_due = search.next_due(db)?;
        if search.demand.max_claims > 0 && next_due.is_some_and(|due| due <= request.now) {
            return Ok(None);
        }
        claimed.next_due.push(next_due);
    }
    Ok(Some(claimed))
}

/// The first place in a kind's queue of generators: when it is due.
fn first_generator(db: &Connection, kind: i64) -> rusqlite::Result<Option<i64>> {
    let sql = "
        SELECT due FROM tasks INDEXED BY generators
        WHERE kind = ?1 AND due IS NOT NULL AND recurrence IS NOT NULL ORDER BY due LIMIT 1";
    db.prepare_cached(sql)?
        .query_row([kind], |row| row.get(0))
        .optional()
}

/// The first place in the queue of a kind: when it is due, and the task's place.
pub(super) fn head(db: &Connection, kind: i64) -> rusqlite::Result<Option<(i64, i64)>> {
    let sql = "
        SELECT * FROM (SELECT due, seq FROM tasks INDEXED BY queue
            WHERE kind = ?1 AND due IS NOT NULL AND held_key IS NULL ORDER BY due, seq LIMIT 1)
        UNION ALL
        SELECT * FROM (SELECT lease_until, seq FROM tasks INDEXED BY leased
            WHERE kind = ?1 AND lease_until IS NOT NULL AND held_key IS NULL ORDER BY lease_until, seq LIMIT 1)
        UNION ALL
        SELECT * FROM (SELECT due, first FROM keys INDEXED BY key_queue
            WHERE kind = ?1 ORDER BY due, first LIMIT 1)";
    let mut statement = db.prepare_cached(sql)?;
    let heads = statement.query_map([kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
    heads
        .collect::<Result<Vec<_>, _>>()
        .map(|heads| heads.into_iter().min())
}

fn searches<'a>(
    env: i64,
    request: &'a ClaimRequest,
    mut number: impl FnMut(i64, &'a str) -> rusqlite::Result<Option<i64>>,
) -> Result<Vec<Search<'a>>, Trouble> {
    let mut searches = Vec::with_capacity(request.demands.len());
    for (place, demand) in request.demands.iter().enumerate() {
        let mut kinds = Vec::with_capacity(demand.kinds.len());
        for name in &demand.kinds {
            kinds.extend(number(env, name)?.map(|kind| (kind, name.as_str().into())));
        }
        searches.push(Search {
            env,
            place,
            demand,
            kinds,
            owner: &request.owner,
            now: request.now,
        });
    }
    Ok(searches)
}

impl Search<'_> {
    fn claim(&self, tx: &mut Tx<'_>, claims: &mut Vec<Claim>) -> Result<(), Trouble> {
        let mut room = self.demand.max_claims;
        let mut progress = true;
        while room > 0 && progress {
            tx.place_keys()?;
            progress = false;
            let heads = self.heads(tx, room)?;
            let mut leases = Leases::new();
            for (kind, head) in heads {
                let tasks = match head.slot {
                    Slot::Task(stored) => vec![self.lease(tx, *stored, &mut leases)?],
                    Slot::Key(key) => self.group(tx, kind, &key, &mut leases)?,
                };
                if !tasks.is_empty() {
                    claims.push(Claim {
                        demand: self.place,
                        tasks,
                    });
                    room -= 1;
                    progress = true;
                }
            }
            leases.save(&mut tx.statements, self.lease_until(), self.owner)?;
        }
        Ok(())
    }

    fn lease_until(&self) -> DateTime<Utc> {
        self.now + self.demand.lease
    }

    fn next_due(&self, db: &Connection) -> Result<Option<DateTime<Utc>>, Trouble> {
        let mut first = None;
        for (kind, _) in &self.kinds {
            let due = if self.demand.generators_only {
                first_generator(db, *kind)?
            } else {
                head(db, *kind)?.map(|(due, _)| due)
            };
            first = first.into_iter().chain(due).min();
        }
        first.map(rows::at_millis).transpose()
    }

    /// What is due of all kinds, in order.
    fn heads(&self, tx: &mut Tx<'_>, room: usize) -> Result<Vec<(&Kind, Head)>, Trouble> {
        let mut heads = Vec::new();
        for kind in &self.kinds {
            let mut unreadable = Vec::new();
            let tasks = self.tasks(tx.db, kind, room, &mut unreadable)?;
            let again = !unreadable.is_empty();
            put_off(tx, kind, None, unreadable, self.now)?;
            if again {
                return self.heads(tx, room);
            }
            heads.extend(tasks.into_iter().map(|head| (kind, head)));
            if !self.demand.generators_only {
                let keys = self.keys(tx.db, kind.0, room)?;
                heads.extend(keys.into_iter().map(|head| (kind, head)));
            }
        }
        heads.sort_by(|(_, a), (_, b)| a.place(b));
        heads.truncate(room);
        Ok(heads)
    }

    fn tasks(
        &self,
        db: &Connection,
        kind: &Kind,
        room: usize,
        unreadable: &mut Vec<(i64, String)>,
    ) -> Result<Vec<Head>, Trouble> {
        const FREE: &str = concat!(
            "SELECT ",
            task_columns!("NULL"),
            ", t.due FROM tasks t INDEXED BY queue JOIN payloads p USING (seq)
             WHERE t.kind = ?1 AND t.due <= ?2 AND t.due IS NOT NULL AND t.held_key IS NULL
             ORDER BY t.due, t.seq LIMIT ?3"
        );
        // Those with a `due` stand in the queue.
        const EXPIRED: &str = concat!(
            "SELECT ",
            task_columns!("NULL"),
            ", t.lease_until FROM tasks t INDEXED BY leased JOIN payloads p USING (seq)
             WHERE t.kind = ?1 AND t.lease_until <= ?2 AND t.lease_until IS NOT NULL AND t.held_key IS NULL
               AND t.due IS NULL
             ORDER BY t.lease_until, t.seq LIMIT ?3"
        );
        const GENERATORS: &str = concat!(
            "SELECT ",
            task_columns!("NULL"),
            ", t.due FROM tasks t INDEXED BY generators JOIN payloads p USING (seq)
             WHERE t.kind = ?1 AND t.due <= ?2 AND t.due IS NOT NULL AND t.recurrence IS NOT NULL
             ORDER BY t.due, t.seq LIMIT ?3"
        );
        let sources: &[&str] = if self.demand.generators_only {
            &[GENERATORS]
        } else {
            &[FREE, EXPIRED]
        };
        let limit = i64::try_from(room).unwrap_or(i64::MAX);
        let mut heads = Vec::new();
        for sql in sources {
            let mut statement = db.prepare_cached(sql)?;
            let mut rows = statement.query(params![kind.0, rows::millis(self.now), limit])?;
            while let Some(row) = rows.next()? {
                if let Some(stored) = readable(row, kind, unreadable)? {
                    heads.push(Head {
                        due: row.get(TASK_COLUMNS)?,
                        seq: stored.seq,
                        slot: Slot::Task(Box::new(stored)),
                    });
                }
            }
        }
        Ok(heads)
    }

    fn keys(&self, db: &Connection, kind: i64, room: usize) -> Result<Vec<Head>, Trouble> {
        let sql = "
            SELECT due, first, key FROM keys INDEXED BY key_queue
            WHERE kind = ?1 AND due <= ?2 ORDER BY due, first LIMIT ?3";
        let mut statement = db.prepare_cached(sql)?;
        let limit = i64::try_from(room).unwrap_or(i64::MAX);
        let heads = statement.query_map(params![kind, rows::millis(self.now), limit], |row| {
            Ok(Head {
                due: row.get(0)?,
                seq: row.get(1)?,
                slot: Slot::Key(row.get(2)?),
            })
        })?;
        Ok(heads.collect::<Result<_, _>>()?)
    }

    /// The due tasks of a key that one claim takes: several, unless the first is to be cleaned up after.
    fn group(
        &self,
        tx: &mut Tx<'_>,
        kind: &Kind,
        key: &str,
        leases: &mut Leases,
    ) -> Result<Vec<ClaimedTask>, Trouble> {
        let mut unreadable = Vec::new();
        let tasks = self.members(tx.db, kind, key, &mut unreadable)?;
        put_off(tx, kind, Some(key), unreadable, self.now)?;
        tx.moved(kind.0, Some(key));
        tasks
            .into_iter()
            .map(|stored| self.lease(tx, stored, leases))
            .collect()
    }

    fn members(
        &self,
        db: &Connection,
        kind: &Kind,
        key: &str,
        unreadable: &mut Vec<(i64, String)>,
    ) -> Result<Vec<Stored>, Trouble> {
        const SQL: &str = concat!(
            "SELECT ",
            task_columns!("NULL"),
            " FROM tasks t INDEXED BY members JOIN payloads p USING (seq)
             WHERE t.kind = ?1 AND t.held_key = ?2 AND t.ending = 0
               AND CASE WHEN t.lease_until IS NULL THEN t.wait_until ELSE t.lease_until END <= ?3
             ORDER BY t.wait_until, t.seq"
        );
        let mut statement = db.prepare_cached(SQL)?;
        let mut rows = statement.query(params![kind.0, key, rows::millis(self.now)])?;
        let mut tasks: Vec<Stored> = Vec::new();
        while tasks.len() < self.demand.max_group.max(1)
            && let Some(row) = rows.next()?
        {
            let Some(stored) = readable(row, kind, unreadable)? else {
                continue;
            };
            let phase = transition::next_phase(&stored.task.state);
            if tasks.is_empty() && phase == Phase::Cleanup {
                return Ok(vec![stored]);
            }
            if phase == Phase::Run {
                tasks.push(stored);
            }
        }
        Ok(tasks)
    }

    fn lease(&self, tx: &mut Tx<'_>, stored: Stored, leases: &mut Leases) -> Result<ClaimedTask, Trouble> {
        let Stored { seq, kind, mut task } = stored;
        let lease = Lease {
            token: leases.token(seq),
            until: self.lease_until(),
            owner: self.owner.clone(),
            phase: transition::next_phase(&task.state),
        };
        let plain = is_plain(&task, lease.phase);
        let orphaned = transition::claim(&mut task, lease, self.now);
        if plain {
            leases.add(seq);
        } else {
            rows::save(&mut tx.statements, seq, &task.state)?;
        }
        tx.claimed.note(self.env, kind, seq, &task);
        Ok(ClaimedTask { task, orphaned })
    }
}

/// Whether a claim only counts an attempt and sets the lease.
fn is_plain(task: &Task, phase: Phase) -> bool {
    let Task { spec, state } = task;
    phase == Phase::Run && spec.recurrence.is_none() && state.lease.is_none() && state.attempts < u32::MAX
}

impl Head {
    fn place(&self, other: &Self) -> Ordering {
        (self.due, self.seq).cmp(&(other.due, other.seq))
    }
}

/// A task, unless it cannot be read: then its place and the reason are kept.
fn readable(
    row: &Row<'_>,
    kind: &Kind,
    unreadable: &mut Vec<(i64, String)>,
) -> Result<Option<Stored>, Trouble> {
    match rows::stored_of(row, Some(&kind.1)) {
        Ok(stored) => Ok(Some(stored)),
        Err(Trouble::Corrupt(why)) => {
            unreadable.push((row.get(0)?, why));
            Ok(None)
        }
        Err(trouble) => Err(trouble),
    }
}

/// One bad row never stops a queue.
fn put_off(
    tx: &mut Tx<'_>,
    kind: &Kind,
    key: Option<&str>,
    unreadable: Vec<(i64, String)>,
    now: DateTime<Utc>,
) -> Result<(), Trouble> {
    for (seq, why) in unreadable {
        tracing::warn!(kind = &*kind.1, "{why}; it is put off for an hour");
        rows::put_off(tx.db, seq, now + PUT_OFF)?;
        tx.moved(kind.0, key);
    }
    Ok(())
}
