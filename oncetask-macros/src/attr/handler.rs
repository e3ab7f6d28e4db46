//! The attribute `#[handler]`.

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::{Attribute, ExprPath, Ident};

use crate::errors::Errors;
use crate::options::Options;
use crate::value::{Count, DurationValue, Retry, function};

/// `#[handler(..)]`
pub(crate) struct HandlerAttr {
    pub(crate) span: Span,
    pub(crate) run: Option<ExprPath>,
    pub(crate) on_cancel: Option<OnCancelForm>,
    pub(crate) retry: Option<Retry>,
    /// The key, and the policy unless it is invalid.
    pub(crate) on_cancel_retry: Option<(Ident, Option<Retry>)>,
    pub(crate) lease: Option<DurationValue>,
    pub(crate) concurrency: Option<Count>,
    pub(crate) max_group: Option<Count>,
}

/// The forms of the option `on_cancel`.
pub(crate) enum OnCancelForm {
    /// `on_cancel`
    Method(Span),
    /// `on_cancel = path`
    Path(ExprPath),
    /// A form that is already reported as an error.
    Invalid,
}

const OPTIONS: &[&str] = &[
    "run",
    "on_cancel",
    "retry",
    "on_cancel_retry",
    "lease",
    "concurrency",
    "max_group",
];

pub(super) fn parse(attr: &Attribute, errors: &mut Errors) -> HandlerAttr {
    let mut handler = HandlerAttr {
        span: attr.path().span(),
        run: None,
        on_cancel: None,
        retry: None,
        on_cancel_retry: None,
        lease: None,
        concurrency: None,
        max_group: None,
    };
    Options::new(OPTIONS, errors).parse_attr(attr, |input| {
        match input.key().to_string().as_str() {
            "run" => handler.run = Some(function(&input)?),
            "on_cancel" if !input.has_value() => {
                handler.on_cancel = Some(OnCancelForm::Method(input.key().span()));
            }
            "on_cancel" => {
                // An invalid path still counts as a cleanup handler, so that `on_cancel_retry` is not an error too.
                handler.on_cancel = Some(OnCancelForm::Invalid);
                handler.on_cancel = Some(OnCancelForm::Path(function(&input)?));
            }
            "retry" => handler.retry = Some(input.value()?),
            "on_cancel_retry" => {
                handler.on_cancel_retry = Some((input.key().clone(), None));
                handler.on_cancel_retry = Some((input.key().clone(), Some(input.value()?)));
            }
            "lease" => handler.lease = Some(input.value()?),
            "concurrency" => handler.concurrency = Some(input.value()?),
            "max_group" => handler.max_group = Some(input.value()?),
            key => unreachable!("`{key}` is not in `OPTIONS`"),
        }
        Ok(())
    });
    handler
}
