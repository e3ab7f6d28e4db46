//! The attributes `#[id]` and `#[resource_key]`.

use proc_macro2::Span;
use syn::parse::ParseStream;
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, ExprPath, Ident, LitStr, Meta, Result, Token};

use super::{parse_end, parse_with};
use crate::errors::Errors;

/// `#[id]` and `#[resource_key]`
pub(crate) struct KeyAttr {
    pub(crate) span: Span,
    pub(crate) form: KeyForm,
}

/// The forms of both attributes.
pub(crate) enum KeyForm {
    /// `#[id]`
    Marker,
    /// `#[id("..")]`
    Template(LitStr),
    /// `#[id(hash)]`
    Hash,
    /// `#[id(content)]`
    Content,
    /// `#[id(with = path)]`
    With(ExprPath),
    /// A form that is already reported as an error.
    Invalid,
}

pub(super) fn parse_id(attr: &Attribute, errors: &mut Errors) -> KeyAttr {
    let expected = "expected `#[id(\"..\")]`, `#[id(content)]` or `#[id(with = path)]` on the struct, \
                    or `#[id]` or `#[id(hash)]` on a field";
    parse(attr, errors, expected)
}

pub(super) fn parse_resource_key(attr: &Attribute, errors: &mut Errors) -> KeyAttr {
    let expected = "expected `#[resource_key(\"..\")]` or `#[resource_key(with = path)]` on the struct, \
                    or `#[resource_key]` or `#[resource_key(hash)]` on a field";
    parse(attr, errors, expected)
}

fn parse(attr: &Attribute, errors: &mut Errors, expected: &str) -> KeyAttr {
    let form = match &attr.meta {
        Meta::Path(_) => Ok(KeyForm::Marker),
        Meta::NameValue(meta) => Err(Error::new_spanned(meta, expected)),
        Meta::List(list) if list.tokens.is_empty() => Err(Error::new_spanned(list, expected)),
        Meta::List(_) => attr.parse_args_with(|input: ParseStream| {
            let form = parse_form(input, attr.path().is_ident("id"), expected)?;
            input.parse::<Option<Token![,]>>()?;
            parse_end(input, expected)?;
            Ok(form)
        }),
    };
    KeyAttr {
        span: attr.path().span(),
        form: errors.ok(form).unwrap_or(KeyForm::Invalid),
    }
}

fn parse_form(input: ParseStream, is_id: bool, expected: &str) -> Result<KeyForm> {
    if input.peek(LitStr) {
        return input.parse().map(KeyForm::Template);
    }
    let fork = input.fork();
    let key: Ident = fork.parse().map_err(|error| Error::new(error.span(), expected))?;
    match key.to_string().as_str() {
        "hash" => input.parse::<Ident>().map(|_| KeyForm::Hash),
        "content" if is_id => input.parse::<Ident>().map(|_| KeyForm::Content),
        _ => parse_with(input, expected).map(KeyForm::With),
    }
}
