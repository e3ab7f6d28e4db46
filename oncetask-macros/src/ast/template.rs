//! Templates of ids and resource keys, such as `"order:{customer}:{lines:hash}"`.

use oncetask_recurrence::limits::MAX_ID_BYTES;
use proc_macro2::Span;
use syn::ext::IdentExt as _;
use syn::{Error, LitStr, Member, Result};

use super::input::{Field, Struct, member_name};
use crate::errors::Errors;
use crate::suggest::{all, hint};

/// A part of an id or of a resource key.
pub(crate) enum Part {
    Text(String),
    Value(Value),
}

/// The value of a field.
pub(crate) struct Value {
    pub(crate) member: Member,
    pub(crate) format: Format,
    /// The character after the value, if another value follows. It is encoded inside the value.
    pub(crate) until: Option<char>,
    /// The span at which errors about the type of the field are shown.
    pub(crate) span: Span,
}

/// The text form of a value.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Format {
    /// Its `Display` output, encoded.
    Display,
    /// A digest of its JSON.
    Hash,
    /// Its `Display` output, unchanged.
    Raw,
}

/// Parses the template of an id. Different values give different ids, and so do different kinds.
pub(super) fn parse_id(template: &LitStr, input: &Struct<'_>) -> Result<Vec<Part>> {
    let mut errors = Errors::default();
    let mut parts = errors.ok(parse(template, input)).unwrap_or_default();
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text),
        Part::Value(_) => None,
    });
    if texts.clone().any(|text| text.contains('/')) {
        let message = "an id cannot contain `/`, because it is the name of a Firestore document; \
                       separate its parts with `:`";
        errors.at(template, message);
    }
    let bytes: usize = texts.map(String::len).sum();
    if bytes > MAX_ID_BYTES {
        let message =
            format!("the text of this template has {bytes} bytes, but an id has at most {MAX_ID_BYTES}");
        errors.at(template, message);
    }
    let text = template.value();
    if text.starts_with('{') && !text.starts_with("{{") {
        let prefix = prefix(input);
        let message = format!(
            "an id must begin with text, so that two kinds never share one; write `#[id(\"{prefix}:{text}\")]`"
        );
        errors.at(template, message);
    }
    errors.ok(delimit(&mut parts, template));
    errors.finish(Some(parts))
}

/// Parses a template whose placeholders name fields of the struct.
pub(super) fn parse(template: &LitStr, input: &Struct<'_>) -> Result<Vec<Part>> {
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
            let Some((placeholder, after)) = rest[1..].split_once('}') else {
                let message = "`{` has no matching `}`; for a literal brace, write `{{`";
                errors.at(template, message);
                break;
            };
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.extend(errors.ok(value(placeholder, template, input)).map(Part::Value));
            rest = after;
        } else {
            if c == '}' {
                let message = "`}` has no matching `{`; for a literal brace, write `}}`";
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
        let example = example(input);
        let message = format!("the template is empty; write one such as `\"{example}\"`");
        errors.at(template, message);
    }
    errors.finish(Some(parts))
}

/// Parses the text between two braces: `field`, `field:hash` or `field:raw`.
fn value(placeholder: &str, template: &LitStr, input: &Struct<'_>) -> Result<Value> {
    let error = |message: String| Error::new_spanned(template, message);
    let (name, format) = placeholder.split_once(':').unwrap_or((placeholder, ""));
    let format = parse_format(name, format).map_err(error)?;
    let wanted = name.strip_prefix("r#").unwrap_or(name);
    match input.fields.iter().find(|field| field.name() == wanted) {
        Some(field) => Ok(Value {
            member: field.member.clone(),
            format,
            until: None,
            span: template.span(),
        }),
        None => Err(error(no_field(placeholder, name, input))),
    }
}

/// Parses the text after the colon of a placeholder. The error is a message.
fn parse_format(name: &str, format: &str) -> std::result::Result<Format, String> {
    match format {
        "" => Ok(Format::Display),
        "hash" => Ok(Format::Hash),
        "raw" => Ok(Format::Raw),
        _ if format.ends_with('?') => Err(format!(
            "`{{{name}:{format}}}` is not supported, because `Debug` output may change and the id with it; \
             use `{{{name}}}` or `{{{name}:hash}}`"
        )),
        _ => Err(format!(
            "there is no format `{format}`; use `{{{name}}}`, `{{{name}:hash}}` or `{{{name}:raw}}`"
        )),
    }
}

/// Returns the error message for a placeholder that names no field of the struct.
fn no_field(placeholder: &str, name: &str, input: &Struct<'_>) -> String {
    let names: Vec<String> = input.fields.iter().map(Field::name).collect();
    let names = names.iter().map(String::as_str);
    if input.fields.is_empty() {
        let ident = input.ident;
        return format!("`{{{placeholder}}}` names a field, but `{ident}` has no fields");
    }
    if name.is_empty() {
        let fields = all(names, "field");
        return format!("`{{{placeholder}}}` names no field; {fields}");
    }
    let hint = hint(name, names, "field");
    format!("there is no field `{name}`; {hint}")
}

/// Sets the character that ends each value, so that different values give different ids.
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
        let name = member_name(&value.member);
        if next.is_none() {
            let message = format!(
                "nothing separates `{{{name}}}` from the next value, so different tasks could share an id; \
                 put a `:` between them"
            );
            return Err(Error::new_spanned(template, message));
        }
        if next == Some('%') {
            let message = format!(
                "`%` cannot follow `{{{name}}}`, because it marks encoded characters inside a value; \
                 put a `:` between them"
            );
            return Err(Error::new_spanned(template, message));
        }
        value.until = next;
    }
    Ok(())
}

/// Returns the values of marked fields, joined by colons.
pub(super) fn join(values: Vec<Value>) -> Vec<Part> {
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

/// Returns a valid template for this struct, for an error message.
pub(super) fn example(input: &Struct<'_>) -> String {
    let prefix = prefix(input);
    match input.fields.first() {
        Some(field) => format!("{prefix}:{{{}}}", field.name()),
        None => prefix,
    }
}

/// Returns the name of the struct in snake case: `send_email` for `SendEmail`.
fn prefix(input: &Struct<'_>) -> String {
    let mut prefix = String::new();
    let mut after_lowercase = false;
    for c in input.ident.unraw().to_string().chars() {
        if c.is_uppercase() && after_lowercase {
            prefix.push('_');
        }
        after_lowercase = c.is_lowercase() || c.is_numeric();
        prefix.extend(c.to_lowercase());
    }
    prefix
}
