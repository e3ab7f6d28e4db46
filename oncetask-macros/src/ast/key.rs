//! The id and the resource key of a task type.

use proc_macro2::Span;
use syn::{ExprPath, LitStr, Result};

use super::input::{Field, Struct, member_name};
use super::template::{self, Format, Part, Value};
use crate::attr::{Attrs, KeyAttr, KeyForm};
use crate::errors::Errors;

/// The source of the id.
pub(crate) enum Id {
    /// A template, which is the whole id.
    Template(Vec<Part>),
    /// The marked fields, after the kind.
    Fields(Vec<Part>),
    /// A digest of the whole payload, after the kind.
    Content,
    /// The result of a function, after the kind.
    With(ExprPath),
}

/// The source of the resource key.
pub(crate) enum ResourceKey {
    /// A template, or a marked field.
    Parts(Vec<Part>),
    /// A marked field of type `Option<_>`.
    Optional(Value),
    /// The result of a function.
    With(ExprPath),
}

/// Returns the id. Exactly one of the struct and the fields defines it.
pub(super) fn id(input: &Struct<'_>) -> Result<Id> {
    let mut errors = Errors::default();
    let values = marked(input, "id", |attrs| attrs.id.as_ref(), &mut errors);
    let any_marked = input.fields.iter().any(|field| field.attrs.id.is_some());
    let id = match &input.attrs.id {
        None => {
            if !any_marked {
                let example = template::example(input);
                let message = format!("a task needs an id; add one, such as `#[id(\"{example}\")]`");
                errors.at(input.ident, message);
            }
            Some(Id::Fields(template::join(values)))
        }
        Some(KeyAttr { span, .. }) if any_marked => {
            errors.at_span(
                *span,
                "the id is defined here and by a marked field; keep one of them",
            );
            None
        }
        Some(KeyAttr { span, form }) => errors.ok(id_on_struct(input, *span, form)),
    };
    errors.finish(id)
}

fn id_on_struct(input: &Struct<'_>, span: Span, form: &KeyForm) -> Result<Id> {
    let mut errors = Errors::default();
    let id = match form {
        KeyForm::Template(text) => errors.ok(id_template(input, text)),
        KeyForm::Content if input.fields.is_empty() => {
            let example = template::example(input);
            let message = format!("a struct without fields has no content; write `#[id(\"{example}\")]`");
            errors.at_span(span, message);
            None
        }
        // An invalid form is already reported, so any id will do.
        KeyForm::Content | KeyForm::Invalid => Some(Id::Content),
        KeyForm::With(path) => Some(Id::With(path.clone())),
        KeyForm::Marker | KeyForm::Hash => {
            let example = template::example(input);
            let message = format!(
                "on a struct, `#[id]` needs a template, as in `#[id(\"{example}\")]`, or `content`, or `with = path`"
            );
            errors.at_span(span, message);
            None
        }
    };
    errors.finish(id)
}

/// Returns an id from a template. It contains a value, unless the struct has no fields.
fn id_template(input: &Struct<'_>, text: &LitStr) -> Result<Id> {
    let mut errors = Errors::default();
    let parts = errors.ok(template::parse_id(text, input));
    if let Some(parts) = &parts
        && parts.iter().all(|part| matches!(part, Part::Text(_)))
        && let Some(field) = input.fields.first()
    {
        let (ident, name) = (input.ident, field.name());
        let message =
            format!("this id is the same for every `{ident}`; add a field in braces, such as `{{{name}}}`");
        errors.at(text, message);
    }
    errors.finish(parts.map(Id::Template))
}

/// Returns the resource key, if there is one. At most one attribute defines it.
pub(super) fn resource_key(input: &Struct<'_>) -> Result<Option<ResourceKey>> {
    let mut errors = Errors::default();
    let mut values = marked(
        input,
        "resource_key",
        |attrs| attrs.resource_key.as_ref(),
        &mut errors,
    );
    if let [first, second, ..] = &values[..] {
        let [a, b] = [first, second].map(|value| member_name(&value.member));
        let message = format!(
            "two fields are marked `#[resource_key]`; combine them on the struct, \
             as in `#[resource_key(\"{{{a}}}:{{{b}}}\")]`"
        );
        errors.at_span(second.span, message);
    }
    let key = match (&input.attrs.resource_key, values.pop()) {
        (None, value) => value.map(|value| resource_key_of_field(input, value)),
        (Some(KeyAttr { span, .. }), Some(_)) => {
            let message = "the resource key is defined here and by a marked field; keep one of them";
            errors.at_span(*span, message);
            None
        }
        (Some(KeyAttr { span, form }), None) => {
            errors.ok(resource_key_on_struct(input, *span, form)).flatten()
        }
    };
    errors.finish(Some(key))
}

/// Returns the resource key that the struct defines, or `None` if its form is invalid, which is already reported.
fn resource_key_on_struct(input: &Struct<'_>, span: Span, form: &KeyForm) -> Result<Option<ResourceKey>> {
    match form {
        KeyForm::Template(text) => template::parse(text, input).map(|parts| Some(ResourceKey::Parts(parts))),
        KeyForm::With(path) => Ok(Some(ResourceKey::With(path.clone()))),
        KeyForm::Invalid => Ok(None),
        KeyForm::Marker | KeyForm::Hash | KeyForm::Content => {
            let message = "on a struct, `#[resource_key]` needs a template, \
                           as in `#[resource_key(\"user:{user}\")]`, or `with = path`";
            Err(syn::Error::new(span, message))
        }
    }
}

fn resource_key_of_field(input: &Struct<'_>, value: Value) -> ResourceKey {
    let mut fields = input.fields.iter();
    let optional = fields.any(|field| field.member == value.member && field.is_option());
    if optional && value.format == Format::Display {
        ResourceKey::Optional(value)
    } else {
        ResourceKey::Parts(vec![Part::Value(value)])
    }
}

/// Returns the fields marked with `#[id]` or `#[resource_key]`, whichever has this name.
fn marked<'a>(
    input: &'a Struct<'_>,
    name: &str,
    attr: impl Fn(&'a Attrs) -> Option<&'a KeyAttr>,
    errors: &mut Errors,
) -> Vec<Value> {
    let mut values = Vec::new();
    for field in &input.fields {
        let Some(KeyAttr { span, form }) = attr(&field.attrs) else {
            continue;
        };
        let form = match form {
            KeyForm::Invalid => continue,
            KeyForm::Marker => {
                values.push(value(field, Format::Display));
                continue;
            }
            KeyForm::Hash => {
                values.push(value(field, Format::Hash));
                continue;
            }
            KeyForm::Template(_) => "\"..\"",
            KeyForm::Content => "content",
            KeyForm::With(_) => "with = path",
        };
        errors.at_span(
            *span,
            format!("`#[{name}({form})]` is not supported on a field; move it to the struct"),
        );
    }
    values
}

fn value(field: &Field<'_>, format: Format) -> Value {
    Value {
        member: field.member.clone(),
        format,
        until: None,
        span: field.type_span(),
    }
}
