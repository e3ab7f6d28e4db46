//! The schedule of a task type.

use proc_macro2::Span;
use syn::{ExprPath, Member, Result};

use super::input::{Field, Struct};
use super::rule;
use crate::attr::{RecurrenceAttr, RecurrenceForm, Rule, RunAtAttr, RunAtForm};
use crate::errors::Errors;

/// The source of the schedule. A span is that of the field's type.
pub(crate) enum Schedule {
    Now,
    RunAtField(Member, Span),
    RunAtWith(ExprPath),
    RecurrenceField(Member, Span),
    RecurrenceWith(ExprPath),
    Rule(Rule),
}

/// The schedule that one attribute defines.
struct Found {
    attr: &'static str,
    span: Span,
    /// The schedule, or a message if the form of the attribute is not supported here.
    /// An invalid form, which is already reported, counts as a schedule, so that a second attribute is an error too.
    schedule: std::result::Result<Schedule, &'static str>,
}

/// Returns the schedule. At most one attribute defines it.
pub(super) fn check(input: &Struct<'_>) -> Result<Schedule> {
    let mut errors = Errors::default();
    let mut kept: Option<(&str, Schedule)> = None;
    for Found { attr, span, schedule } in found(input, &mut errors) {
        match (&kept, schedule) {
            (_, Err(message)) => errors.at_span(span, message),
            (None, Ok(schedule)) => kept = Some((attr, schedule)),
            (Some((other, _)), Ok(_)) if *other == attr => {
                errors.at_span(span, format!("`#[{attr}]` is given twice; keep one of them"));
            }
            (Some(_), Ok(_)) => errors.at_span(
                span,
                "`#[run_at]` and `#[recurrence]` cannot be combined; keep one of them",
            ),
        }
    }
    errors.finish(Some(kept.map_or(Schedule::Now, |(_, schedule)| schedule)))
}

/// Returns whether every worker creates the task when it starts. Only a struct without fields supports that.
pub(super) fn at_start(input: &Struct<'_>) -> Result<bool> {
    let mut errors = Errors::default();
    let at_start = input.attrs.recurrence.as_ref().and_then(|attr| attr.at_start);
    if let (Some(span), Some(_)) = (at_start, input.fields.first()) {
        let message = "`at_start` is not supported on a struct with fields, because a worker does not know their \
                       values; create the task with `client.create(..)`";
        errors.at_span(span, message);
    }
    errors.finish(Some(at_start.is_some()))
}

/// Returns the schedules that the attributes define: those on the struct first, then those on the fields.
fn found(input: &Struct<'_>, errors: &mut Errors) -> Vec<Found> {
    let attrs = &input.attrs;
    let run_at = attrs.run_at.as_ref().map(run_at_on_struct);
    let recurrence = attrs
        .recurrence
        .as_ref()
        .map(|attr| recurrence_on_struct(attr, errors));
    let on_fields = input.fields.iter().flat_map(|field| {
        let run_at = field.attrs.run_at.as_ref();
        let recurrence = field.attrs.recurrence.as_ref();
        let run_at = run_at.map(|attr| run_at_on_field(attr, field));
        let recurrence = recurrence.map(|attr| recurrence_on_field(attr, field));
        run_at.into_iter().chain(recurrence)
    });
    run_at.into_iter().chain(recurrence).chain(on_fields).collect()
}

fn run_at_on_struct(attr: &RunAtAttr) -> Found {
    Found {
        attr: "run_at",
        span: attr.span,
        schedule: match &attr.form {
            RunAtForm::With(path) => Ok(Schedule::RunAtWith(path.clone())),
            RunAtForm::Marker => Err(
                "on a struct, `#[run_at]` needs a function, as in `#[run_at(with = path)]`; \
                 or mark a field with `#[run_at]`",
            ),
            RunAtForm::Invalid => Ok(Schedule::Now),
        },
    }
}

fn recurrence_on_struct(attr: &RecurrenceAttr, errors: &mut Errors) -> Found {
    Found {
        attr: "recurrence",
        span: attr.span,
        schedule: match &attr.form {
            RecurrenceForm::Rule(rule) => {
                errors.ok(rule::check(rule));
                Ok(Schedule::Rule(rule.clone()))
            }
            RecurrenceForm::With(path) => Ok(Schedule::RecurrenceWith(path.clone())),
            RecurrenceForm::Marker => Err(
                "on a struct, `#[recurrence]` needs a rule, as in `#[recurrence(\"FREQ=DAILY;BYHOUR=9\")]`, \
                 or `with = path`",
            ),
            RecurrenceForm::Invalid => Ok(Schedule::Now),
        },
    }
}

fn run_at_on_field(attr: &RunAtAttr, field: &Field<'_>) -> Found {
    Found {
        attr: "run_at",
        span: attr.span,
        schedule: match &attr.form {
            RunAtForm::Marker => Ok(Schedule::RunAtField(field.member.clone(), field.type_span())),
            RunAtForm::With(_) => {
                Err("`#[run_at(with = path)]` is not supported on a field; move it to the struct")
            }
            RunAtForm::Invalid => Ok(Schedule::Now),
        },
    }
}

fn recurrence_on_field(attr: &RecurrenceAttr, field: &Field<'_>) -> Found {
    Found {
        attr: "recurrence",
        span: attr.span,
        schedule: match &attr.form {
            RecurrenceForm::Marker => Ok(Schedule::RecurrenceField(field.member.clone(), field.type_span())),
            RecurrenceForm::Rule(_) => {
                Err("`#[recurrence(\"..\")]` is not supported on a field; move it to the struct")
            }
            RecurrenceForm::With(_) => {
                Err("`#[recurrence(with = path)]` is not supported on a field; move it to the struct")
            }
            RecurrenceForm::Invalid => Ok(Schedule::Now),
        },
    }
}
