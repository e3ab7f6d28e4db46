//! A task type: its attributes, checked against its fields and against each other.

use std::time::Duration;

use proc_macro2::Span;
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{
    Data, DeriveInput, Error, ExprPath, Fields, Ident, Index, LitStr, Member, Path, Result, Type,
    parse_quote, parse_quote_spanned,
};

use crate::attr::{Attrs, CancelForm, HandlerAttr, KeyAttr, KeyForm, RecurrenceForm, Rule, RunAtForm};
use crate::errors::Errors;
use crate::rule;
use crate::template::{self, Format, Part, Value};
use crate::value::{Count, DurationValue, Retry, show};

pub(crate) struct Task {
    pub(crate) krate: Path,
    pub(crate) ident: Ident,
    pub(crate) kind: LitStr,
    pub(crate) id: Id,
    pub(crate) resource_key: Option<ResourceKey>,
    pub(crate) schedule: Schedule,
    pub(crate) handler: Option<Handler>,
}

pub(crate) enum Id {
    Parts(Vec<Part>),
    Content,
    With(ExprPath),
}

pub(crate) enum ResourceKey {
    Parts(Vec<Part>),
    /// A field of type `Option<_>`.
    Optional(Value),
    With(ExprPath),
}

pub(crate) enum Schedule {
    Now,
    RunAtField(Member, Span),
    RunAtWith(ExprPath),
    RecurrenceField(Member, Span),
    RecurrenceWith(ExprPath),
    Rule(Rule),
}

pub(crate) struct Handler {
    pub(crate) run: ExprPath,
    pub(crate) cancel: Option<ExprPath>,
    pub(crate) retry: Option<Retry>,
    pub(crate) cancel_retry: Option<Retry>,
    pub(crate) lease: Option<DurationValue>,
    pub(crate) concurrency: Option<Count>,
}

pub(crate) struct Field<'a> {
    pub(crate) member: Member,
    pub(crate) ty: &'a Type,
    pub(crate) attrs: Attrs,
}

impl Field<'_> {
    pub(crate) fn name(&self) -> String {
        member_name(&self.member)
    }
}

pub(crate) fn member_name(member: &Member) -> String {
    match member {
        Member::Named(ident) => ident.unraw().to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}

impl Task {
    pub(crate) fn parse(input: &DeriveInput) -> Result<Self> {
        // Nothing else that could be said of a type that cannot be a task would help.
        let fields = fields(input)?;
        let mut errors = Errors::default();
        let attrs = Attrs::parse(&input.attrs, &mut errors);
        let fields = parse_fields(fields, &mut errors);
        let kind = errors.ok(kind(input, &attrs));
        let id = errors.ok(id(input, &attrs, &fields));
        let resource_key = errors.ok(resource_key(&attrs, &fields));
        let schedule = errors.ok(schedule(&attrs, &fields));
        let krate = attrs
            .task
            .and_then(|task| task.krate)
            .unwrap_or_else(|| parse_quote!(::oncetask));
        let handler = errors.ok(attrs.handler.map(handler).transpose());
        let parts = kind.zip(id).zip(resource_key).zip(schedule).zip(handler);
        errors.finish(
            parts.map(|((((kind, id), resource_key), schedule), handler)| Self {
                krate,
                ident: input.ident.clone(),
                kind,
                id,
                resource_key,
                schedule,
                handler,
            }),
        )
    }
}

fn fields(input: &DeriveInput) -> Result<&Fields> {
    if let Some(lifetime) = input.generics.lifetimes().next() {
        return Err(Error::new_spanned(
            lifetime,
            "a task outlives the process that creates it, so it cannot borrow; own the data (`String` instead of `&str`)",
        ));
    }
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "a generic type cannot be a task, for its kind would not tell which type to read back; \
             derive `OnceTask` for a struct that contains the concrete type",
        ));
    }
    match &input.data {
        Data::Struct(data) => Ok(&data.fields),
        Data::Enum(data) => Err(Error::new_spanned(
            data.enum_token,
            "an enum cannot be a task, for a task has one kind, one id and one handler; \
             derive `OnceTask` for a struct that contains the enum, or for a struct for each variant",
        )),
        Data::Union(data) => Err(Error::new_spanned(data.union_token, "a union cannot be a task")),
    }
}

fn parse_fields<'a>(fields: &'a Fields, errors: &mut Errors) -> Vec<Field<'a>> {
    let mut parsed = Vec::new();
    for (index, field) in (0..).zip(fields) {
        let attrs = Attrs::parse(&field.attrs, errors);
        let task = attrs.task.as_ref().map(|task| ("task", task.span));
        let handler = attrs.handler.as_ref().map(|handler| ("handler", handler.span));
        for (name, span) in task.into_iter().chain(handler) {
            errors.push(Error::new(span, format!("`#[{name}]` belongs on the struct")));
        }
        let member = match &field.ident {
            Some(ident) => Member::Named(ident.clone()),
            None => Member::Unnamed(Index {
                index,
                span: field.ty.span(),
            }),
        };
        parsed.push(Field {
            member,
            ty: &field.ty,
            attrs,
        });
    }
    parsed
}

const LONGEST_KIND: usize = 64;

fn kind(input: &DeriveInput, attrs: &Attrs) -> Result<LitStr> {
    let Some(kind) = attrs.task.as_ref().and_then(|task| task.kind.clone()) else {
        return Ok(LitStr::new(&input.ident.unraw().to_string(), input.ident.span()));
    };
    let text = kind.value();
    let wrong = text
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.'));
    let message = match wrong {
        Some(c) => {
            format!(
                "a kind has only ASCII letters, digits, `_`, `-` and `.`, not `{}`",
                c.escape_default()
            )
        }
        None if text.is_empty() => "the kind is empty".to_owned(),
        None if text.len() > LONGEST_KIND => {
            format!("a kind has at most {LONGEST_KIND} characters, not {}", text.len())
        }
        None => return Ok(kind),
    };
    Err(Error::new_spanned(kind, message))
}

fn id(input: &DeriveInput, attrs: &Attrs, fields: &[Field<'_>]) -> Result<Id> {
    let mut errors = Errors::default();
    let marked = marked(fields, |attrs| attrs.id.as_ref(), &mut errors);
    let any_marked = fields.iter().any(|field| field.attrs.id.is_some());
    let Some(KeyAttr { span, form }) = &attrs.id else {
        if !any_marked {
            let example = fields
                .first()
                .map_or_else(|| "..".to_owned(), |field| format!("{{{}}}", field.name()));
            let message = format!("a task needs an id: say what identifies it, as in `#[id(\"{example}\")]`");
            errors.at(&input.ident, message);
        }
        return errors.finish(Some(Id::Parts(template::join(marked))));
    };
    if any_marked {
        errors.push(Error::new(
            *span,
            "the id is given here and by marked fields; keep one",
        ));
    }
    let id = match form {
        KeyForm::Template(text) => errors.ok(template::parse_id(text, fields)).map(|parts| {
            let constant = !parts.iter().any(|part| matches!(part, Part::Value(_)));
            if let (true, Some(field)) = (constant, fields.first()) {
                let (ident, name) = (&input.ident, field.name());
                errors.at(
                    text,
                    format!(
                        "this id is the same for every `{ident}`; name a field in braces, as in `{{{name}}}`"
                    ),
                );
            }
            Id::Parts(parts)
        }),
        // An invalid form is reported: any id will do.
        KeyForm::Content | KeyForm::Invalid => Some(Id::Content),
        KeyForm::With(path) => Some(Id::With(path.clone())),
        KeyForm::Marker | KeyForm::Hash => {
            let message = "on a struct, `#[id]` needs a template, as in `#[id(\"{user}:{day}\")]`, or `content`, or `with = path`";
            errors.push(Error::new(*span, message));
            None
        }
    };
    errors.finish(id)
}

fn resource_key(attrs: &Attrs, fields: &[Field<'_>]) -> Result<Option<ResourceKey>> {
    let mut errors = Errors::default();
    let mut marked = marked(fields, |attrs| attrs.resource_key.as_ref(), &mut errors);
    if let [_, second, ..] = &marked[..] {
        let message = "two fields are marked `#[resource_key]`; name both on the struct, as in `#[resource_key(\"{a}:{b}\")]`";
        errors.push(Error::new(second.span, message));
    }
    let key = match (&attrs.resource_key, marked.pop()) {
        (None, None) => None,
        (None, Some(value)) if value.format == Format::Display && is_option(fields, &value.member) => {
            Some(ResourceKey::Optional(value))
        }
        (None, Some(value)) => Some(ResourceKey::Parts(vec![Part::Value(value)])),
        (Some(KeyAttr { span, .. }), Some(_)) => {
            errors.push(Error::new(
                *span,
                "the resource key is given here and by a marked field; keep one",
            ));
            None
        }
        (Some(KeyAttr { span, form }), None) => match form {
            KeyForm::Template(text) => errors.ok(template::parse(text, fields)).map(ResourceKey::Parts),
            KeyForm::With(path) => Some(ResourceKey::With(path.clone())),
            KeyForm::Marker | KeyForm::Hash | KeyForm::Content => {
                let message = "on a struct, `#[resource_key]` needs a template, as in `#[resource_key(\"user:{user}\")]`, or `with = path`";
                errors.push(Error::new(*span, message));
                None
            }
            KeyForm::Invalid => None,
        },
    };
    errors.finish(Some(key))
}

/// The fields marked with `#[id]` or `#[resource_key]`.
fn marked<'a>(
    fields: &'a [Field<'_>],
    attr: impl Fn(&'a Attrs) -> Option<&'a KeyAttr>,
    errors: &mut Errors,
) -> Vec<Value> {
    let mut values = Vec::new();
    for field in fields {
        let Some(KeyAttr { span, form }) = attr(&field.attrs) else {
            continue;
        };
        let format = match form {
            KeyForm::Marker => Format::Display,
            KeyForm::Hash => Format::Hash,
            KeyForm::Template(_) | KeyForm::Content | KeyForm::With(_) => {
                errors.push(Error::new(
                    *span,
                    "this form belongs on the struct; a field is only marked",
                ));
                continue;
            }
            KeyForm::Invalid => continue,
        };
        values.push(Value {
            member: field.member.clone(),
            format,
            until: None,
            span: field.ty.span(),
        });
    }
    values
}

fn is_option(fields: &[Field<'_>], member: &Member) -> bool {
    fields.iter().any(|field| {
        field.member == *member
            && matches!(field.ty, Type::Path(ty) if ty.path.segments.last().is_some_and(|last| last.ident == "Option"))
    })
}

fn schedule(attrs: &Attrs, fields: &[Field<'_>]) -> Result<Schedule> {
    let mut errors = Errors::default();
    let mut found = Vec::new();
    if let Some(attr) = &attrs.run_at {
        let schedule = match &attr.form {
            RunAtForm::With(path) => Ok(Schedule::RunAtWith(path.clone())),
            RunAtForm::Marker => Err("on a struct, `#[run_at]` needs `with = path`; or mark a field"),
            RunAtForm::Invalid => Ok(Schedule::Now),
        };
        found.push(("run_at", attr.span, schedule));
    }
    if let Some(attr) = &attrs.recurrence {
        let schedule = match &attr.form {
            RecurrenceForm::Rule(rule) => {
                errors.ok(rule::check(rule));
                Ok(Schedule::Rule(rule.clone()))
            }
            RecurrenceForm::With(path) => Ok(Schedule::RecurrenceWith(path.clone())),
            RecurrenceForm::Marker => Err(
                "on a struct, `#[recurrence]` needs a rule, as in `#[recurrence(\"FREQ=DAILY;BYHOUR=9\")]`",
            ),
            RecurrenceForm::Invalid => Ok(Schedule::Now),
        };
        found.push(("recurrence", attr.span, schedule));
    }
    for field in fields {
        let (member, ty) = (&field.member, field.ty.span());
        if let Some(attr) = &field.attrs.run_at {
            let schedule = match &attr.form {
                RunAtForm::Marker => Ok(Schedule::RunAtField(member.clone(), ty)),
                RunAtForm::With(_) => Err("this form belongs on the struct; a field is only marked"),
                RunAtForm::Invalid => Ok(Schedule::Now),
            };
            found.push(("run_at", attr.span, schedule));
        }
        if let Some(attr) = &field.attrs.recurrence {
            let schedule = match &attr.form {
                RecurrenceForm::Marker => Ok(Schedule::RecurrenceField(member.clone(), ty)),
                RecurrenceForm::Rule(_) | RecurrenceForm::With(_) => {
                    Err("this form belongs on the struct; a field is only marked")
                }
                RecurrenceForm::Invalid => Ok(Schedule::Now),
            };
            found.push(("recurrence", attr.span, schedule));
        }
    }
    let mut first: Option<(&str, Schedule)> = None;
    for (name, span, schedule) in found {
        match (&first, schedule) {
            (_, Err(message)) => errors.push(Error::new(span, message)),
            (None, Ok(schedule)) => first = Some((name, schedule)),
            (Some((other, _)), Ok(_)) if *other == name => {
                errors.push(Error::new(span, format!("`#[{name}]` is given twice")));
            }
            (Some(_), Ok(_)) => {
                errors.push(Error::new(
                    span,
                    "a task is delayed by `#[run_at]` or recurring by `#[recurrence]`, not both",
                ));
            }
        }
    }
    errors.finish(Some(first.map_or(Schedule::Now, |(_, schedule)| schedule)))
}

const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

fn handler(attr: HandlerAttr) -> Result<Handler> {
    let mut errors = Errors::default();
    if let (Some((key, _)), None) = (&attr.cancel_retry, &attr.cancel) {
        errors.at(key, "`cancel_retry` needs a cancellation handler: add `cancel` for `Self::cancel`, or `cancel = path`");
    }
    if let Some((lease, span)) = attr.lease.as_ref().and_then(DurationValue::literal)
        && !(SHORTEST_LEASE..=LONGEST_LEASE).contains(&lease)
    {
        let message = format!(
            "a lease lasts from {} to {}, not {}",
            show(SHORTEST_LEASE),
            show(LONGEST_LEASE),
            show(lease)
        );
        errors.push(Error::new(span, message));
    }
    errors.finish(Some(Handler {
        run: attr
            .run
            .unwrap_or_else(|| parse_quote_spanned!(attr.span=> Self::run)),
        cancel: attr.cancel.and_then(|cancel| match cancel {
            CancelForm::Method(span) => Some(parse_quote_spanned!(span=> Self::cancel)),
            CancelForm::Path(path) => Some(path),
            CancelForm::Invalid => None,
        }),
        retry: attr.retry,
        cancel_retry: attr.cancel_retry.map(|(_, retry)| retry),
        lease: attr.lease,
        concurrency: attr.concurrency,
    }))
}
