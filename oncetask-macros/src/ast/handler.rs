//! The handler of a task type.

use oncetask_recurrence::limits::{MAX_LEASE, MIN_LEASE};
use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::{ExprPath, Result, parse_quote_spanned};

use crate::attr::{HandlerAttr, OnCancelForm};
use crate::errors::Errors;
use crate::value::{Count, DurationValue, Retry, show};

/// The options of `#[handler]`, checked.
pub(crate) struct Handler {
    pub(crate) run: Function,
    pub(crate) on_cancel: Option<Function>,
    pub(crate) retry: Option<Retry>,
    pub(crate) on_cancel_retry: Option<Retry>,
    pub(crate) lease: Option<DurationValue>,
    pub(crate) concurrency: Option<Count>,
    pub(crate) max_group: Option<Count>,
}

/// A function of the user.
pub(crate) struct Function {
    pub(crate) path: ExprPath,
    /// The span at which errors about the function are shown.
    pub(crate) span: Span,
    /// True if the attribute names no path, so that `path` is `Self::run` or `Self::on_cancel`.
    pub(crate) is_default: bool,
}

impl Function {
    fn given(path: ExprPath) -> Self {
        let span = path.span();
        Self {
            path,
            span,
            is_default: false,
        }
    }

    fn default(path: ExprPath, span: Span) -> Self {
        Self {
            path,
            span,
            is_default: true,
        }
    }
}

/// Checks the options against each other, and fills in the default functions.
pub(super) fn check(attr: HandlerAttr) -> Result<Handler> {
    let mut errors = Errors::default();
    if let (Some((key, _)), None) = (&attr.on_cancel_retry, &attr.on_cancel) {
        let message = "`on_cancel_retry` needs a cleanup handler; \
                       add `on_cancel` for `Self::on_cancel`, or `on_cancel = path`";
        errors.at(key, message);
    }
    if let Some((lease, span)) = attr.lease.as_ref().and_then(DurationValue::literal)
        && !(MIN_LEASE..=MAX_LEASE).contains(&lease)
    {
        let [min, max, lease] = [MIN_LEASE, MAX_LEASE, lease].map(show);
        errors.at_span(
            span,
            format!("a lease of {lease} is not supported; write one from {min} to {max}"),
        );
    }
    let span = attr.span;
    let default_run = || Function::default(parse_quote_spanned!(span=> Self::run), span);
    errors.finish(Some(Handler {
        run: attr.run.map_or_else(default_run, Function::given),
        on_cancel: attr.on_cancel.and_then(on_cancel),
        retry: attr.retry,
        on_cancel_retry: attr.on_cancel_retry.and_then(|(_, retry)| retry),
        lease: attr.lease,
        concurrency: attr.concurrency,
        max_group: attr.max_group,
    }))
}

/// Returns the cleanup handler, or `None` if its form is invalid, which is already reported.
fn on_cancel(form: OnCancelForm) -> Option<Function> {
    match form {
        OnCancelForm::Method(span) => {
            let path = parse_quote_spanned!(span=> Self::on_cancel);
            Some(Function::default(path, span))
        }
        OnCancelForm::Path(path) => Some(Function::given(path)),
        OnCancelForm::Invalid => None,
    }
}
