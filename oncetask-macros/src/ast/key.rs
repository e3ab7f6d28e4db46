//! The id and the resource key.

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::{ExprPath, LitStr, Result};

use super::{Field, Struct};
use crate::attr::{Attrs, KeyAttr, KeyForm};
use crate::errors::Errors;
use crate::template::{self, Format, Part, Value};

pub(crate) enum Id {
    /// The template says it all.
    Template(Vec<Part>),
    /// The marked fields, after the kind.
    Fields(Vec<Part>),
    Content,
    With(ExprPath),
}

pub(crate) enum ResourceKey {
    Parts(Vec<Part>),
    /// A field of type `Option<_>`.
    Optional(Value),
    With(ExprPath),
}

/// An id is given once, and no two tasks that differ share one.
pub(super) fn id(of: &Struct<'_>) -> Result<Id> {
    let mut errors = Errors::default();
    let values = marked(of, |attrs| attrs.id.as_ref(), &mut errors);
    let any_marked = of.fields.iter().any(|field| field.attrs.id.is_some());
    let id = match &of.attrs.id {
        None => {
            if !any_marked {
                let example = template::example(of);
                let message =
                    format!("a task needs an id: say what identifies it, as in `#[id(\"{example}\")]`");
                errors.at(of.ident, message);
            }
            Some(Id::Fields(template::join(values)))
        }
        Some(KeyAttr { span, .. }) if any_marked => {
            errors.at_span(*span, "the id is given here and by marked fields; keep one");
            None
        }
        Some(KeyAttr { span, form }) => errors.ok(id_of(of, *span, form)),
    };
    errors.finish(id)
}

fn id_of(of: &Struct<'_>, span: Span, form: &KeyForm) -> Result<Id> {
    let mut errors = Errors::default();
    let id = match form {
        KeyForm::Template(text) => errors.ok(id_template(of, text)),
        KeyForm::Content if of.fields.is_empty() => {
            let example = template::example(of);
            let message = format!("a struct without fields has no content; write `#[id(\"{example}\")]`");
            errors.at_span(span, message);
            None
        }
        // An invalid form is reported: any id will do.
        KeyForm::Content | KeyForm::Invalid => Some(Id::Content),
        KeyForm::With(path) => Some(Id::With(path.clone())),
        KeyForm::Marker | KeyForm::Hash => {
            let example = template::example(of);
            let message = format!(
                "on a struct, `#[id]` needs a template, as in `#[id(\"{example}\")]`, or `content`, or `with = path`"
            );
            errors.at_span(span, message);
            None
        }
    };
    errors.finish(id)
}

fn id_template(of: &Struct<'_>, text: &LitStr) -> Result<Id> {
    let mut errors = Errors::default();
    let parts = errors.ok(template::parse_id(text, of));
    if let Some(parts) = &parts
        && parts.iter().all(|part| matches!(part, Part::Text(_)))
        && let Some(field) = of.fields.first()
    {
        let (ident, name) = (of.ident, field.name());
        let message =
            format!("this id is the same for every `{ident}`; name a field in braces, as in `{{{name}}}`");
        errors.at(text, message);
    }
    errors.finish(parts.map(Id::Template))
}

/// A resource key is given once, or not at all.
pub(super) fn resource_key(of: &Struct<'_>) -> Result<Option<ResourceKey>> {
    let mut errors = Errors::default();
    let mut values = marked(of, |attrs| attrs.resource_key.as_ref(), &mut errors);
    if let [_, second, ..] = &values[..] {
        let message = "two fields are marked `#[resource_key]`; \
                       name both on the struct, as in `#[resource_key(\"{a}:{b}\")]`";
        errors.at_span(second.span, message);
    }
    let key = match (&of.attrs.resource_key, values.pop()) {
        (None, value) => value.map(|value| resource_key_of_field(of, value)),
        (Some(KeyAttr { span, .. }), Some(_)) => {
            let message = "the resource key is given here and by a marked field; keep one";
            errors.at_span(*span, message);
            None
        }
        (Some(KeyAttr { span, form }), None) => match form {
            KeyForm::Template(text) => errors.ok(template::parse(text, of)).map(ResourceKey::Parts),
            KeyForm::With(path) => Some(ResourceKey::With(path.clone())),
            KeyForm::Invalid => None,
            KeyForm::Marker | KeyForm::Hash | KeyForm::Content => {
                let message = "on a struct, `#[resource_key]` needs a template, \
                               as in `#[resource_key(\"user:{user}\")]`, or `with = path`";
                errors.at_span(*span, message);
                None
            }
        },
    };
    errors.finish(Some(key))
}

fn resource_key_of_field(of: &Struct<'_>, value: Value) -> ResourceKey {
    let mut fields = of.fields.iter();
    let optional = fields.any(|field| field.member == value.member && field.is_option());
    if optional && value.format == Format::Display {
        ResourceKey::Optional(value)
    } else {
        ResourceKey::Parts(vec![Part::Value(value)])
    }
}

/// The fields marked with `#[id]` or `#[resource_key]`.
fn marked<'a>(
    of: &'a Struct<'_>,
    attr: impl Fn(&'a Attrs) -> Option<&'a KeyAttr>,
    errors: &mut Errors,
) -> Vec<Value> {
    let mut values = Vec::new();
    for field in &of.fields {
        match attr(&field.attrs).map(|KeyAttr { span, form }| (span, form)) {
            None | Some((_, KeyForm::Invalid)) => {}
            Some((_, KeyForm::Marker)) => values.push(value(field, Format::Display)),
            Some((_, KeyForm::Hash)) => values.push(value(field, Format::Hash)),
            Some((span, KeyForm::Template(_) | KeyForm::Content | KeyForm::With(_))) => {
                errors.at_span(*span, "this form belongs on the struct; a field is only marked");
            }
        }
    }
    values
}

fn value(field: &Field<'_>, format: Format) -> Value {
    Value {
        member: field.member.clone(),
        format,
        until: None,
        span: field.ty.span(),
    }
}
