//! When a task runs.

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::{ExprPath, Member, Result};

use super::Struct;
use crate::attr::{RecurrenceForm, Rule, RunAtForm};
use crate::errors::Errors;
use crate::rule;

pub(crate) enum Schedule {
    Now,
    RunAtField(Member, Span),
    RunAtWith(ExprPath),
    RecurrenceField(Member, Span),
    RecurrenceWith(ExprPath),
    Rule(Rule),
}

/// A schedule as one attribute says it.
struct Found {
    attr: &'static str,
    span: Span,
    schedule: std::result::Result<Schedule, &'static str>,
}

const ON_FIELD: &str = "this form belongs on the struct; a field is only marked";

/// A task is delayed, or recurring, or neither; and says so once. The flag: whether it is created at start-up.
pub(super) fn check(of: &Struct<'_>) -> Result<(Schedule, bool)> {
    let mut errors = Errors::default();
    let mut found = on_struct(of, &mut errors);
    found.extend(on_fields(of));
    let mut kept: Option<(&str, Schedule)> = None;
    for Found { attr, span, schedule } in found {
        match (&kept, schedule) {
            (_, Err(message)) => errors.at_span(span, message),
            (None, Ok(schedule)) => kept = Some((attr, schedule)),
            (Some((other, _)), Ok(_)) if *other == attr => {
                errors.at_span(span, format!("`#[{attr}]` is given twice"));
            }
            (Some(_), Ok(_)) => errors.at_span(
                span,
                "a task is delayed by `#[run_at]` or recurring by `#[recurrence]`, not both",
            ),
        }
    }
    let at_start = of.attrs.recurrence.as_ref().and_then(|attr| attr.at_start);
    if let (Some(span), Some(_)) = (at_start, of.fields.first()) {
        let message = "`at_start` is for a struct without fields, for nobody says what to put into them; \
                       create this one with `client.create(..)`";
        errors.at_span(span, message);
    }
    let schedule = kept.map_or(Schedule::Now, |(_, schedule)| schedule);
    errors.finish(Some((schedule, at_start.is_some())))
}

fn on_struct(of: &Struct<'_>, errors: &mut Errors) -> Vec<Found> {
    let run_at = of.attrs.run_at.as_ref().map(|attr| Found {
        attr: "run_at",
        span: attr.span,
        schedule: match &attr.form {
            RunAtForm::With(path) => Ok(Schedule::RunAtWith(path.clone())),
            RunAtForm::Marker => Err("on a struct, `#[run_at]` needs `with = path`; or mark a field"),
            RunAtForm::Invalid => Ok(Schedule::Now),
        },
    });
    let recurrence = of.attrs.recurrence.as_ref().map(|attr| Found {
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
    });
    run_at.into_iter().chain(recurrence).collect()
}

fn on_fields(of: &Struct<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for field in &of.fields {
        let (member, ty) = (&field.member, field.ty.span());
        found.extend(field.attrs.run_at.as_ref().map(|attr| Found {
            attr: "run_at",
            span: attr.span,
            schedule: match &attr.form {
                RunAtForm::Marker => Ok(Schedule::RunAtField(member.clone(), ty)),
                RunAtForm::With(_) => Err(ON_FIELD),
                RunAtForm::Invalid => Ok(Schedule::Now),
            },
        }));
        found.extend(field.attrs.recurrence.as_ref().map(|attr| Found {
            attr: "recurrence",
            span: attr.span,
            schedule: match &attr.form {
                RecurrenceForm::Marker => Ok(Schedule::RecurrenceField(member.clone(), ty)),
                RecurrenceForm::Rule(_) | RecurrenceForm::With(_) => Err(ON_FIELD),
                RecurrenceForm::Invalid => Ok(Schedule::Now),
            },
        }));
    }
    found
}
