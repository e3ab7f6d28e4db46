use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::{Attribute, ExprPath, Ident};

use crate::errors::Errors;
use crate::options::Options;
use crate::value::{Count, DurationValue, Retry, function};

/// `#[handler]`
pub(crate) struct HandlerAttr {
    pub(crate) span: Span,
    pub(crate) run: Option<ExprPath>,
    pub(crate) cancel: Option<CancelForm>,
    pub(crate) retry: Option<Retry>,
    pub(crate) cancel_retry: Option<(Ident, Option<Retry>)>,
    pub(crate) lease: Option<DurationValue>,
    pub(crate) concurrency: Option<Count>,
    pub(crate) max_group: Option<Count>,
}

pub(crate) enum CancelForm {
    /// `cancel`
    Method(Span),
    /// `cancel = path`
    Path(ExprPath),
    /// Nothing of the above; reported.
    Invalid,
}

const OPTIONS: &[&str] = &[
    "run",
    "cancel",
    "retry",
    "cancel_retry",
    "lease",
    "concurrency",
    "max_group",
];

pub(super) fn parse(attr: &Attribute, errors: &mut Errors) -> HandlerAttr {
    let mut handler = HandlerAttr {
        span: attr.path().span(),
        run: None,
        cancel: None,
        retry: None,
        cancel_retry: None,
        lease: None,
        concurrency: None,
        max_group: None,
    };
    Options::new(OPTIONS, errors).parse_attr(attr, |input| {
        match input.key().to_string().as_str() {
            "run" => handler.run = Some(function(&input)?),
            "cancel" if !input.has_value() => {
                handler.cancel = Some(CancelForm::Method(input.key().span()));
            }
            "cancel" => {
                // A wrong path is a cleanup handler all the same, for whatever needs one.
                handler.cancel = Some(CancelForm::Invalid);
                handler.cancel = Some(CancelForm::Path(function(&input)?));
            }
            "retry" => handler.retry = Some(input.value()?),
            "cancel_retry" => {
                handler.cancel_retry = Some((input.key().clone(), None));
                handler.cancel_retry = Some((input.key().clone(), Some(input.value()?)));
            }
            "lease" => handler.lease = Some(input.value()?),
            "concurrency" => handler.concurrency = Some(input.value()?),
            _ => handler.max_group = Some(input.value()?),
        }
        Ok(())
    });
    handler
}
