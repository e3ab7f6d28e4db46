use proc_macro2::Span;
use quote::ToTokens as _;
use syn::parse::ParseStream;
use syn::spanned::Spanned as _;
use syn::token::Bracket;
use syn::{Attribute, Error, Ident, LitStr, Meta, Path, Result};

use crate::errors::Errors;
use crate::options::Options;

/// `#[task(kind = "..", alias = "..", crate = path)]`
pub(crate) struct TaskAttr {
    pub(crate) span: Span,
    pub(crate) kind: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) krate: Option<Path>,
    /// Whether it has no option, not even a wrong one.
    pub(crate) is_empty: bool,
}

pub(super) fn parse(attr: &Attribute, errors: &mut Errors) -> TaskAttr {
    let mut task = TaskAttr {
        span: attr.path().span(),
        kind: None,
        aliases: Vec::new(),
        krate: None,
        is_empty: false,
    };
    let mut options = Options::new(&["kind", "alias", "crate"], errors).repeated(&["alias"]);
    options.parse_attr(attr, |input| {
        match input.key().to_string().as_str() {
            "kind" => task.kind = Some(input.text("send_email")?),
            "alias" => task.aliases.push(input.value_with(parse_alias)?),
            _ => task.krate = Some(input.value_with(parse_crate)?),
        }
        Ok(())
    });
    task.is_empty = match &attr.meta {
        Meta::Path(_) => true,
        Meta::List(list) => list.tokens.is_empty(),
        Meta::NameValue(_) => false,
    };
    task
}

fn parse_alias(input: ParseStream) -> Result<LitStr> {
    let expected = if input.peek(Bracket) {
        "several aliases are given one by one: `alias = \"OldName\", alias = \"OlderName\"`"
    } else {
        "expected a string, as in `alias = \"OldName\"`"
    };
    input.parse().map_err(|error| Error::new(error.span(), expected))
}

fn parse_crate(input: ParseStream) -> Result<Path> {
    let quoted = input.fork().parse::<LitStr>().ok();
    let refused = |span| {
        let message = match &quoted {
            Some(path) => format!("expected a path, without quotes: `crate = {}`", path.value()),
            None => "expected the path of the library, as in `crate = renamed_oncetask`".to_owned(),
        };
        Error::new(span, message)
    };
    let path = Path::parse_mod_style(input).map_err(|error| refused(error.span()))?;
    match path.segments.iter().find(|segment| !names_module(&segment.ident)) {
        Some(segment) => Err(refused(segment.ident.span())),
        None => Ok(path),
    }
}

/// The parser takes every keyword.
fn names_module(name: &Ident) -> bool {
    let is_name = syn::parse2::<Ident>(name.to_token_stream()).is_ok();
    is_name
        || ["crate", "$crate", "self", "super"]
            .iter()
            .any(|word| name == word)
}
