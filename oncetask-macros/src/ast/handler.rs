//! The handler.

use std::time::Duration;

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::{ExprPath, Result, parse_quote_spanned};

use crate::attr::{HandlerAttr, OnCancelForm};
use crate::errors::Errors;
use crate::value::{Count, DurationValue, Retry, show};

pub(crate) struct Handler {
    pub(crate) run: Function,
    pub(crate) on_cancel: Option<Function>,
    pub(crate) retry: Option<Retry>,
    pub(crate) on_cancel_retry: Option<Retry>,
    pub(crate) lease: Option<DurationValue>,
    pub(crate) concurrency: Option<Count>,
    pub(crate) max_group: Option<Count>,
}

/// A function of the user's.
pub(crate) struct Function {
    pub(crate) path: ExprPath,
    /// Where its errors are shown.
    pub(crate) span: Span,
    /// Whether the path is the one that stands for no path.
    pub(crate) by_default: bool,
}

impl Function {
    fn given(path: ExprPath) -> Self {
        let span = path.span();
        Self {
            path,
            span,
            by_default: false,
        }
    }

    fn by_default(path: ExprPath, span: Span) -> Self {
        Self {
            path,
            span,
            by_default: true,
        }
    }
}

const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const LONGEST_LEASE: Duration = Duration::from_hours(24);

pub(super) fn check(attr: HandlerAttr) -> Result<Handler> {
    let mut errors = Errors::default();
    if let (Some((key, _)), None) = (&attr.on_cancel_retry, &attr.on_cancel) {
        let message = "`on_cancel_retry` needs a cleanup handler: \
                       add `on_cancel` for `Self::on_cancel`, or `on_cancel = path`";
        errors.at(key, message);
    }
    if let Some((lease, span)) = attr.lease.as_ref().and_then(DurationValue::literal)
        && !(SHORTEST_LEASE..=LONGEST_LEASE).contains(&lease)
    {
        let [shortest, longest, lease] = [SHORTEST_LEASE, LONGEST_LEASE, lease].map(show);
        errors.at_span(
            span,
            format!("a lease lasts from {shortest} to {longest}, not {lease}"),
        );
    }
    let span = attr.span;
    let run = match attr.run {
        Some(path) => Function::given(path),
        None => Function::by_default(parse_quote_spanned!(span=> Self::run), span),
    };
    let on_cancel = attr.on_cancel.and_then(|on_cancel| match on_cancel {
        OnCancelForm::Method(span) => {
            let path = parse_quote_spanned!(span=> Self::on_cancel);
            Some(Function::by_default(path, span))
        }
        OnCancelForm::Path(path) => Some(Function::given(path)),
        OnCancelForm::Invalid => None,
    });
    errors.finish(Some(Handler {
        run,
        on_cancel,
        retry: attr.retry,
        on_cancel_retry: attr.on_cancel_retry.and_then(|(_, retry)| retry),
        lease: attr.lease,
        concurrency: attr.concurrency,
        max_group: attr.max_group,
    }))
}
