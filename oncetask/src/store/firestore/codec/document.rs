//! Encoding tasks as documents, and decoding them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::instant::{exact, is_ours, second, second_up};
use super::reader::Reader;
use super::{Undecodable, errors, json, recurrence};
use crate::store::firestore::proto::{Fields, Timestamp, boolean, double, integer, map, null, pb, text};
use crate::task::transition::Phase;
use crate::task::{
    Done, Ending, Lease, LeaseToken, Occurrence, Progress, ResourceKey, Task, TaskId, TaskSpec, TaskState,
};

/// The names of a document's fields.
pub(in crate::store::firestore) mod field {
    pub(in crate::store::firestore) const ID: &str = "id";
    pub(in crate::store::firestore) const KIND: &str = "type";
    pub(in crate::store::firestore) const ENV: &str = "env";
    pub(in crate::store::firestore) const RESOURCE_KEY: &str = "resourceKey";
    pub(in crate::store::firestore) const WAIT_UNTIL: &str = "waitUntil";
    pub(in crate::store::firestore) const LEASED_UNTIL: &str = "leasedUntil";
    pub(in crate::store::firestore) const CREATED_AT: &str = "createdAt";
    pub(in crate::store::firestore) const DONE_AT: &str = "doneAt";
    pub(in crate::store::firestore) const IS_CANCELLED: &str = "isCancelled";
    pub(in crate::store::firestore) const GENERATOR: &str = "parentRecurrenceId";
    pub(in crate::store::firestore) const RECURRENCE: &str = "recurrence";

    pub(super) const DATA: &str = "data";
    pub(super) const CANCELLED_AT: &str = "cancelledAt";
    pub(super) const ATTEMPTS: &str = "attempts";
    pub(super) const ERRORS: &str = "errors";
    pub(super) const RESULT: &str = "result";
    pub(super) const OCCURRENCE_AT: &str = "occurrenceTimestamp";

    // Our own fields, which Go does not know.
    pub(super) const DATA_JSON: &str = "dataJson";
    pub(super) const RESULT_JSON: &str = "resultJson";
    pub(super) const LEASE_TOKEN: &str = "leaseToken";
    pub(super) const LEASE_OWNER: &str = "leaseOwner";
    pub(super) const LEASE_PHASE: &str = "leasePhase";
    pub(super) const LEASE_ENDS: &str = "leaseEnds";
    pub(super) const OUTCOME: &str = "outcome";
    pub(super) const ATTEMPTS_MADE: &str = "attemptsMade";
    pub(super) const CLEANUP_ATTEMPTS: &str = "cleanupAttempts";
    pub(super) const DEFERRALS: &str = "deferrals";
    pub(super) const PROGRESS: &str = "progress";
    pub(super) const CREATE_TOKEN: &str = "createToken";
    pub(super) const FINISH_TOKEN: &str = "finishToken";
}

/// The owner that is shown for a lease of a program without lease tokens.
const UNNAMED_OWNER: &str = "(unnamed program)";

/// The tokens in a document that show whether a write whose response was lost has been applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::store::firestore) struct Marks {
    /// The token of the write that created the document.
    pub(in crate::store::firestore) created: Option<LeaseToken>,
    /// The lease token of the last claim that was ended.
    pub(in crate::store::firestore) finished: Option<LeaseToken>,
}

/// A stored task.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store::firestore) struct Stored {
    pub(in crate::store::firestore) name: String,
    pub(in crate::store::firestore) env: String,
    pub(in crate::store::firestore) task: Task,
    pub(in crate::store::firestore) marks: Marks,
    /// The version of the document, for the precondition of a write.
    pub(in crate::store::firestore) update_time: Timestamp,
}

/// Returns the fields of a task's document.
pub(in crate::store::firestore) fn encode(task: &Task, env: &str, marks: &Marks) -> Fields {
    let Task { spec, state } = task;
    let mut fields = Fields::new();
    let mut put = |name: &str, value: pb::Value| {
        fields.insert(name.to_owned(), value);
    };
    put(field::ID, text(spec.id.as_str()));
    put(field::KIND, text(&*spec.kind));
    put(field::ENV, text(env));
    put(
        field::RESOURCE_KEY,
        text(spec.resource_key.as_ref().map_or("", ResourceKey::as_str)),
    );
    put(field::CREATED_AT, text(exact(spec.created_at)));
    put(field::WAIT_UNTIL, text(wait_until(task)));
    put(field::DONE_AT, instant(state.done.map(|done| done.at)));
    put(field::CANCELLED_AT, instant(state.cancelled_at));
    put(field::IS_CANCELLED, boolean(state.cancelled_at.is_some()));
    put(field::ATTEMPTS, integer(attempts_for_go(state)));
    put(field::ERRORS, errors::to_value(&state.errors));
    put(
        field::RECURRENCE,
        spec.recurrence.as_ref().map_or_else(null, recurrence::to_value),
    );
    let occurrence = spec.occurrence.as_ref();
    put(
        field::GENERATOR,
        text(occurrence.map_or("", |of| of.generator.as_str())),
    );
    put(field::OCCURRENCE_AT, instant(occurrence.map(|of| of.at)));
    put(field::RESULT, null());
    json::put(&mut fields, field::DATA, field::DATA_JSON, &spec.payload);
    if let Some(result) = &state.result {
        json::put(&mut fields, field::RESULT, field::RESULT_JSON, result);
    }
    put_lease(&mut fields, state.lease.as_ref());
    put_ours(&mut fields, state, marks);
    fields
}

fn instant(at: Option<DateTime<Utc>>) -> pb::Value {
    text(at.map(exact).unwrap_or_default())
}

/// Returns the spelling of `waitUntil`. A generator's instants are whole seconds and become part of its occurrences'
/// ids, so they are spelled as Go spells them.
fn wait_until(task: &Task) -> String {
    let at = task.state.wait_until;
    if task.spec.recurrence.is_some() && at.timestamp_subsec_millis() == 0 {
        second(at)
    } else {
        exact(at)
    }
}

/// Returns the number of attempts for Go, which regards a task as completed if it has more attempts than errors.
fn attempts_for_go(state: &TaskState) -> u32 {
    let errors = u32::try_from(state.errors.len()).unwrap_or(u32::MAX);
    match state.done.map(|done| done.how) {
        Some(Ending::Completed) => state.attempts.max(errors + 1),
        Some(Ending::Failed) => state.attempts.min(errors),
        Some(Ending::Cancelled) | None => state.attempts,
    }
}

fn put_lease(fields: &mut Fields, lease: Option<&Lease>) {
    let until = lease.map(|lease| second_up(lease.until)).unwrap_or_default();
    fields.insert(field::LEASED_UNTIL.to_owned(), text(until));
    let Some(lease) = lease.filter(|lease| lease.token.to_bits() != 0) else {
        return;
    };
    let phase = match lease.phase {
        Phase::Run => "run",
        Phase::Cleanup => "cleanup",
    };
    fields.extend([
        (field::LEASE_TOKEN.to_owned(), token(lease.token)),
        (field::LEASE_OWNER.to_owned(), text(&*lease.owner)),
        (field::LEASE_PHASE.to_owned(), text(phase)),
        (field::LEASE_ENDS.to_owned(), text(exact(lease.until))),
    ]);
}

fn put_ours(fields: &mut Fields, state: &TaskState, marks: &Marks) {
    let mut put = |name: &str, value: Option<pb::Value>| {
        fields.extend(value.map(|value| (name.to_owned(), value)));
    };
    let if_any = |count: u32| (count > 0).then(|| integer(count));
    let differs_for_go = attempts_for_go(state) != state.attempts;
    put(
        field::ATTEMPTS_MADE,
        differs_for_go.then(|| integer(state.attempts)),
    );
    put(field::CLEANUP_ATTEMPTS, if_any(state.cleanup_attempts));
    put(field::DEFERRALS, if_any(state.deferrals));
    put(field::OUTCOME, state.done.map(|done| text(outcome(done.how))));
    put(field::PROGRESS, state.progress.as_ref().map(progress));
    put(field::CREATE_TOKEN, marks.created.map(token));
    put(field::FINISH_TOKEN, marks.finished.map(token));
}

fn token(token: LeaseToken) -> pb::Value {
    text(format!("{:016x}", token.to_bits()))
}

fn outcome(how: Ending) -> &'static str {
    match how {
        Ending::Completed => "completed",
        Ending::Failed => "failed",
        Ending::Cancelled => "cancelled",
    }
}

fn progress(progress: &Progress) -> pb::Value {
    map(Fields::from([
        ("fraction".to_owned(), double(progress.fraction)),
        ("message".to_owned(), text(progress.message.as_str())),
        ("at".to_owned(), text(exact(progress.at))),
    ]))
}

/// Returns the fields and the mask of the write that changes a document from `before` to `after`. The mask names all
/// fields that differ. A name in the mask without a field removes that field.
pub(in crate::store::firestore) fn changes(before: &Fields, after: Fields) -> (Fields, Vec<String>) {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
    let mask: Vec<_> = names
        .into_iter()
        .filter(|name| before.get(name) != after.get(name))
        .collect();
    let fields = after
        .into_iter()
        .filter(|(name, _)| mask.contains(name))
        .collect();
    (fields, mask)
}

/// Decodes the task in a document.
///
/// # Errors
///
/// Returns the reason if the document cannot be decoded as a task.
pub(in crate::store::firestore) fn decode(document: pb::Document) -> Result<Stored, Undecodable> {
    let pb::Document {
        name,
        mut fields,
        update_time,
        ..
    } = document;
    let mut reader = Reader(&mut fields);
    let env = reader.required(field::ENV)?;
    let marks = Marks {
        created: read_token(&mut reader, field::CREATE_TOKEN)?,
        finished: read_token(&mut reader, field::FINISH_TOKEN)?,
    };
    let spec = read_spec(&mut reader)?;
    let state = read_state(&mut reader, spec.created_at)?;
    Ok(Stored {
        name,
        env,
        task: Task { spec, state },
        marks,
        update_time: update_time.unwrap_or_default(),
    })
}

fn read_spec(reader: &mut Reader<'_>) -> Result<TaskSpec, Undecodable> {
    let full_text = reader.text(field::DATA_JSON)?;
    let payload = json::take(reader.0, field::DATA, full_text)?;
    let created_at = reader.instant(field::CREATED_AT)?;
    let generator = reader.non_empty(field::GENERATOR)?;
    let occurs_at = reader.instant(field::OCCURRENCE_AT)?;
    Ok(TaskSpec {
        id: TaskId::new(reader.required(field::ID)?),
        kind: reader.required(field::KIND)?.into(),
        payload,
        resource_key: reader.text(field::RESOURCE_KEY)?.and_then(ResourceKey::new),
        created_at: created_at.ok_or_else(|| Undecodable("the field `createdAt` is missing".into()))?,
        recurrence: reader
            .map(field::RECURRENCE)?
            .map(recurrence::from_map)
            .transpose()?,
        occurrence: generator.zip(occurs_at).map(|(generator, at)| Occurrence {
            generator: TaskId::new(generator),
            at,
        }),
    })
}

fn read_state(reader: &mut Reader<'_>, created_at: DateTime<Utc>) -> Result<TaskState, Undecodable> {
    let cancelled_at = reader.instant(field::CANCELLED_AT)?;
    let cancelled_at = reader
        .flag(field::IS_CANCELLED)?
        .then(|| cancelled_at.unwrap_or(created_at));
    let errors = errors::from_values(reader.list(field::ERRORS)?)?;
    let (done, attempts) = read_done(reader, cancelled_at.is_some(), errors.len())?;
    let full_text = reader.text(field::RESULT_JSON)?;
    let has_result = full_text.is_some() || reader.0.get(field::RESULT).is_some_and(|value| *value != null());
    let result = json::take(reader.0, field::RESULT, full_text)?;
    let lease = read_lease(reader)?;
    let counts_cleanups = cancelled_at.is_some();
    Ok(TaskState {
        // Go's zero time means that the task has been due since its creation.
        wait_until: reader.instant(field::WAIT_UNTIL)?.unwrap_or(created_at),
        attempts,
        cleanup_attempts: reader
            .count(field::CLEANUP_ATTEMPTS)?
            .filter(|_| counts_cleanups)
            .unwrap_or_default(),
        deferrals: reader.count(field::DEFERRALS)?.unwrap_or_default(),
        errors,
        result: has_result.then_some(result),
        progress: reader.map(field::PROGRESS)?.map(read_progress).transpose()?,
        lease: lease.filter(|_| done.is_none()),
        cancelled_at,
        done,
    })
}

/// Reads the end of the task and the number of its attempts. Our own fields count only if this library ended the task,
/// which the spelling of the instant shows.
fn read_done(
    reader: &mut Reader<'_>,
    is_cancelled: bool,
    errors: usize,
) -> Result<(Option<Done>, u32), Undecodable> {
    let written = reader.text(field::DONE_AT)?.unwrap_or_default();
    let at = super::instant::parse(field::DONE_AT, &written)?;
    let attempts = reader.count(field::ATTEMPTS)?.unwrap_or_default();
    let made = reader.count(field::ATTEMPTS_MADE)?;
    let ours = match reader.text(field::OUTCOME)?.as_deref() {
        Some("completed") => Some(Ending::Completed),
        Some("failed") => Some(Ending::Failed),
        Some("cancelled") => Some(Ending::Cancelled),
        _ => None,
    };
    let ours = ours.filter(|_| is_ours(&written));
    let for_go = match (is_cancelled, attempts as usize > errors) {
        (true, _) => Ending::Cancelled,
        (false, true) => Ending::Completed,
        (false, false) => Ending::Failed,
    };
    let done = at.map(|at| Done {
        at,
        how: ours.unwrap_or(for_go),
    });
    Ok((done, made.filter(|_| ours.is_some()).unwrap_or(attempts)))
}

/// Reads the lease. When Go takes over an expired lease of ours, it only writes a later end: our token counts only if
/// the end is the one that we wrote.
fn read_lease(reader: &mut Reader<'_>) -> Result<Option<Lease>, Undecodable> {
    let written = reader.text(field::LEASED_UNTIL)?.unwrap_or_default();
    let until = super::instant::parse(field::LEASED_UNTIL, &written)?;
    let ends = reader.instant(field::LEASE_ENDS)?;
    let token = read_token(reader, field::LEASE_TOKEN)?;
    let owner = reader.text(field::LEASE_OWNER)?;
    let cleanup = reader.text(field::LEASE_PHASE)?.as_deref() == Some("cleanup");
    let ours = token.zip(ends).filter(|(_, ends)| second_up(*ends) == written);
    Ok(until.map(|until| match ours {
        Some((token, ends)) => Lease {
            token,
            until: ends,
            owner: owner.unwrap_or_default().into(),
            phase: if cleanup { Phase::Cleanup } else { Phase::Run },
        },
        None => Lease {
            token: LeaseToken::from_bits(0),
            until,
            owner: UNNAMED_OWNER.into(),
            phase: Phase::Run,
        },
    }))
}

fn read_token(reader: &mut Reader<'_>, name: &str) -> Result<Option<LeaseToken>, Undecodable> {
    let Some(token) = reader.text(name)? else {
        return Ok(None);
    };
    match u64::from_str_radix(&token, 16) {
        Ok(bits) => Ok(Some(LeaseToken::from_bits(bits))),
        Err(_) => Err(Undecodable(format!(
            "`{name}` is `{token}`, which is not a token"
        ))),
    }
}

fn read_progress(mut fields: Fields) -> Result<Progress, Undecodable> {
    let mut reader = Reader(&mut fields);
    Ok(Progress {
        fraction: reader.number("fraction")?,
        message: reader.text("message")?.unwrap_or_default(),
        at: reader.instant("at")?.unwrap_or(DateTime::UNIX_EPOCH),
    })
}
