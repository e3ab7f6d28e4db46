use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::{Attribute, LitStr, Meta, Path};

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
            "alias" => task.aliases.push(input.text("OldName")?),
            _ => task.krate = Some(input.value_with(Path::parse_mod_style)?),
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
