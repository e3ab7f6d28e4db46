//! Templates of ids and resource keys, such as `"order:{customer}:{lines:hash}"`.

use proc_macro2::Span;
use syn::ext::IdentExt as _;
use syn::{Error, LitStr, Member, Result};

use crate::ast::{Field, Struct, member_name};
use crate::errors::Errors;
use crate::suggest::{all, hint};

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

/// How long an id may be, in bytes.
const LONGEST: usize = 1500;

/// Parses the template of an id: distinct values must give distinct ids, and distinct kinds too.
pub(crate) fn parse_id(template: &LitStr, of: &Struct<'_>) -> Result<Vec<Part>> {
    let mut errors = Errors::default();
    let mut parts = errors.ok(parse(template, of)).unwrap_or_default();
    let mut texts = parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text),
        Part::Value(_) => None,
    });
    if texts.clone().any(|text| text.contains('/')) {
        errors.at(
            template,
            "an id names a Firestore document, so it cannot contain `/`; separate with `:`",
        );
    }
    let length: usize = texts.by_ref().map(String::len).sum();
    if length > LONGEST {
        let message = format!("this template has {length} bytes of text, and an id has at most {LONGEST}");
        errors.at(template, message);
    }
    let text = template.value();
    if text.starts_with('{') && !text.starts_with("{{") {
        let prefix = prefix(of);
        let message = format!(
            "an id begins with text of its own, so that two kinds never share one: write `#[id(\"{prefix}:{text}\")]`"
        );
        errors.at(template, message);
    }
    errors.ok(delimit(&mut parts, template));
    errors.finish(Some(parts))
}

/// Parses a template over the fields of a struct.
pub(crate) fn parse(template: &LitStr, of: &Struct<'_>) -> Result<Vec<Part>> {
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
                let message = "`{` has no matching `}`; a brace by itself is written `{{`";
                errors.at(template, message);
                break;
            };
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.extend(errors.ok(value(inner, template, of)).map(Part::Value));
            rest = after;
        } else {
            if c == '}' {
                let message = "`}` has no matching `{`; a brace by itself is written `}}`";
                errors.at(template, message);
            }
            text.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    if source.is_empty() {
        let example = example(of);
        errors.at(
            template,
            format!("the template is empty; write one like `\"{example}\"`"),
        );
    }
    errors.finish(Some(parts))
}

/// Parses what is between two braces: `field`, `field:hash` or `field:raw`.
fn value(inner: &str, template: &LitStr, of: &Struct<'_>) -> Result<Value> {
    let error = |message: String| Err(Error::new_spanned(template, message));
    let (name, format) = inner.split_once(':').unwrap_or((inner, ""));
    let format = match format {
        "" => Format::Display,
        "hash" => Format::Hash,
        "raw" => Format::Raw,
        _ if format.ends_with('?') => {
            return error(format!(
                "`{{{inner}}}`: `Debug` output may change, and the id with it; use `{{{name}}}` or `{{{name}:hash}}`"
            ));
        }
        _ => {
            return error(format!(
                "`{{{inner}}}`: there is no format `{format}`; use `{{{name}}}`, `{{{name}:hash}}` or `{{{name}:raw}}`"
            ));
        }
    };
    let wanted = name.strip_prefix("r#").unwrap_or(name);
    if let Some(field) = of.fields.iter().find(|field| field.name() == wanted) {
        return Ok(Value {
            member: field.member.clone(),
            format,
            until: None,
            span: template.span(),
        });
    }
    let names: Vec<String> = of.fields.iter().map(Field::name).collect();
    let names = names.iter().map(String::as_str);
    let ident = of.ident;
    if of.fields.is_empty() {
        return error(format!("`{{{inner}}}` names a field, and `{ident}` has none"));
    }
    if name.is_empty() {
        let fields = all(names, "field");
        return error(format!("`{{{inner}}}` names no field; {fields}"));
    }
    let hint = hint(name, names, "field");
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
            let message = format!(
                "nothing separates `{{{name}}}` from the next value, so distinct tasks could share an id; put a `:` between them"
            );
            return Err(Error::new_spanned(template, message));
        }
        if next == Some('%') {
            let name = member_name(&value.member);
            let message = format!(
                "`{{{name}}}` cannot end at `%`, with which characters are encoded in it; put a `:` there"
            );
            return Err(Error::new_spanned(template, message));
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

/// A template that this struct might have.
pub(crate) fn example(of: &Struct<'_>) -> String {
    let prefix = prefix(of);
    match of.fields.first() {
        Some(field) => format!("{prefix}:{{{}}}", field.name()),
        None => prefix,
    }
}

/// The name of the struct as an id would begin with it: `send_email` for `SendEmail`.
fn prefix(of: &Struct<'_>) -> String {
    let mut prefix = String::new();
    let mut after_lowercase = false;
    for c in of.ident.unraw().to_string().chars() {
        if c.is_uppercase() && after_lowercase {
            prefix.push('_');
        }
        after_lowercase = c.is_lowercase() || c.is_numeric();
        prefix.extend(c.to_lowercase());
    }
    prefix
}
