//! Templates of ids and resource keys, such as `"order:{customer}:{lines:hash}"`.

use proc_macro2::Span;
use syn::{Error, LitStr, Member, Result};

use crate::ast::{Field, member_name};
use crate::errors::Errors;
use crate::suggest::{did_you_mean, list};

/// A piece of an id or of a resource key.
pub(crate) enum Part {
    Text(String),
    Value(Value),
}

/// The value of a field.
pub(crate) struct Value {
    pub(crate) member: Member,
    pub(crate) format: Format,
    /// The character that ends the value, if another value follows.
    pub(crate) until: Option<char>,
    pub(crate) span: Span,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Format {
    Display,
    Hash,
    Raw,
}

/// Parses the template of an id: distinct values must give distinct ids.
pub(crate) fn parse_id(template: &LitStr, fields: &[Field<'_>]) -> Result<Vec<Part>> {
    let mut errors = Errors::default();
    let mut parts = errors.ok(parse(template, fields)).unwrap_or_default();
    if parts
        .iter()
        .any(|part| matches!(part, Part::Text(text) if text.contains('/')))
    {
        errors.at(
            template,
            "an id names a Firestore document, so it cannot contain `/`",
        );
    }
    errors.ok(delimit(&mut parts, template));
    errors.finish(Some(parts))
}

/// Parses a template over the fields of a struct.
pub(crate) fn parse(template: &LitStr, fields: &[Field<'_>]) -> Result<Vec<Part>> {
    let mut errors = Errors::default();
    let mut parts = Vec::new();
    let mut text = String::new();
    let source = template.value();
    let mut rest = source.as_str();
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("{{") || rest.starts_with("}}") {
            text.push(c);
            rest = &rest[2..];
        } else if c == '{' {
            let Some((inner, after)) = rest[1..].split_once('}') else {
                errors.at(
                    template,
                    "`{` has no matching `}`; a brace by itself is written `{{`",
                );
                break;
            };
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.extend(errors.ok(value(inner, template, fields)).map(Part::Value));
            rest = after;
        } else {
            if c == '}' {
                errors.at(
                    template,
                    "`}` has no matching `{`; a brace by itself is written `}}`",
                );
            } else {
                text.push(c);
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    if source.is_empty() {
        errors.at(template, "the template is empty");
    }
    errors.finish(Some(parts))
}

/// Parses what is between two braces: `field`, `field:hash` or `field:raw`.
fn value(inner: &str, template: &LitStr, fields: &[Field<'_>]) -> Result<Value> {
    let error = |message: String| Err(Error::new_spanned(template, message));
    let (name, format) = inner.split_once(':').unwrap_or((inner, ""));
    let format = match format {
        "" => Format::Display,
        "hash" => Format::Hash,
        "raw" => Format::Raw,
        "?" => {
            return error(format!(
                "`{{{inner}}}`: `Debug` output may change, and the id with it; use `{{{name}}}` or `{{{name}:hash}}`"
            ));
        }
        _ => return error(format!("`{{{inner}}}`: the formats are `hash` and `raw`")),
    };
    if let Some(field) = fields.iter().find(|field| field.name() == name) {
        return Ok(Value {
            member: field.member.clone(),
            format,
            until: None,
            span: template.span(),
        });
    }
    let names: Vec<String> = fields.iter().map(Field::name).collect();
    let names = names.iter().map(String::as_str);
    if name.is_empty() {
        return error(format!(
            "`{{{inner}}}` names no field; the fields are {}",
            list(names, "and")
        ));
    }
    let hint = match did_you_mean(name, names.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the fields are {}", list(names, "and")),
    };
    error(format!("there is no field `{name}`; {hint}"))
}

/// Notes what ends each value, so that distinct values give distinct ids.
fn delimit(parts: &mut [Part], template: &LitStr) -> Result<()> {
    for i in 0..parts.len() {
        let next = match parts.get(i + 1) {
            Some(Part::Text(text)) => text.chars().next(),
            Some(Part::Value(_)) | None => None,
        };
        let last = !parts[i + 1..].iter().any(|part| matches!(part, Part::Value(_)));
        let Part::Value(value) = &mut parts[i] else {
            continue;
        };
        if last || value.format == Format::Hash {
            continue;
        }
        if next.is_none() {
            let name = member_name(&value.member);
            return Err(Error::new_spanned(
                template,
                format!(
                    "nothing separates `{{{name}}}` from the next value, so distinct tasks could share an id; put a `:` between them"
                ),
            ));
        }
        value.until = next;
    }
    Ok(())
}

/// The values of marked fields, joined by colons.
pub(crate) fn join(values: Vec<Value>) -> Vec<Part> {
    let last = values.len().saturating_sub(1);
    let mut parts = Vec::new();
    for (i, mut value) in values.into_iter().enumerate() {
        value.until = (i < last && value.format != Format::Hash).then_some(':');
        parts.push(Part::Value(value));
        if i < last {
            parts.push(Part::Text(":".to_owned()));
        }
    }
    parts
}
