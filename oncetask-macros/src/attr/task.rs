//! The attribute `#[task]`.

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
    /// True if the attribute has no option, not even an invalid one.
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
    let mut options = Options::new(&["kind", "alias", "crate"], errors).repeatable(&["alias"]);
    options.parse_attr(attr, |input| {
        match input.key().to_string().as_str() {
            "kind" => task.kind = Some(input.text("send_email")?),
            "alias" => task.aliases.push(input.value_with(parse_alias)?),
            "crate" => task.krate = Some(input.value_with(parse_crate)?),
            key => unreachable!("`{key}` is not in the list of options"),
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
        "a list of aliases is not supported; write `alias = \"OldName\", alias = \"OlderName\"`"
    } else {
        "expected a string, as in `alias = \"OldName\"`"
    };
    input.parse().map_err(|error| Error::new(error.span(), expected))
}

fn parse_crate(input: ParseStream) -> Result<Path> {
    let quoted = input.fork().parse::<LitStr>().ok();
    let error = |span| {
        let message = match &quoted {
            Some(path) => format!("expected a path without quotes; write `crate = {}`", path.value()),
            None => "expected the path of the library, as in `crate = renamed_oncetask`".to_owned(),
        };
        Error::new(span, message)
    };
    let path = Path::parse_mod_style(input).map_err(|cause| error(cause.span()))?;
    match path
        .segments
        .iter()
        .find(|segment| !is_module_name(&segment.ident))
    {
        Some(segment) => Err(error(segment.ident.span())),
        None => Ok(path),
    }
}

/// Returns whether a module can have this name. `Path::parse_mod_style` accepts every keyword.
fn is_module_name(name: &Ident) -> bool {
    let is_identifier = syn::parse2::<Ident>(name.to_token_stream()).is_ok();
    is_identifier
        || ["crate", "$crate", "self", "super"]
            .iter()
            .any(|word| name == word)
}
