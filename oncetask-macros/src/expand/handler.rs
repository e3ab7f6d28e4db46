//! The code for the handler: its definition, with the types erased.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Ident, Path};

use super::retry;
use super::span::{Steps, private};
use crate::ast::{Function, Handler, Task};

pub(super) fn expand(task: &Task, handler: &Handler) -> TokenStream {
    let Task { krate, ident, .. } = task;
    let config = config(krate, handler);
    let imports = imports(krate, handler);
    let checks = checks(task, handler);
    // Mixed-site hygiene, because a function of the user may have these names.
    let [delivery, needs] = ["delivery", "needs"].map(|name| Ident::new(name, Span::mixed_site()));
    let closure = |deliver: &str, Function { path, span, .. }: &Function| {
        let (private, deliver) = (private(krate, *span), Ident::new(deliver, *span));
        quote_spanned!(*span=> |#delivery| #private::#deliver::<Self, _, _>(#path, #delivery))
    };
    let needed = |Function { path, span, .. }: &Function| {
        let private = private(krate, *span);
        quote_spanned!(*span=> #private::needs(&#path, #needs);)
    };
    let grouped = is_grouped(krate, &handler.run);
    let run = closure("deliver", &handler.run);
    let needs_run = needed(&handler.run);
    let on_cancel = if let Some(on_cancel) = &handler.on_cancel {
        let on_cancel = closure("clean_up", on_cancel);
        quote!(::core::option::Option::Some(#on_cancel))
    } else {
        quote!(::core::option::Option::None)
    };
    let needs_on_cancel = handler.on_cancel.as_ref().map(needed);
    quote! {
        #imports
        #[automatically_derived]
        impl #krate::__private::Handled for #ident {
            const HANDLER: #krate::__private::HandlerDefinition = #krate::__private::HandlerDefinition {
                config: #config,
                grouped: #grouped,
                run: #run,
                on_cancel: #on_cancel,
                needs: |#needs| {
                    #needs_run
                    #needs_on_cancel
                },
            };
            #checks
        }
    }
}

/// Returns imports that make a missing `Self::run` or `Self::on_cancel` an error that says what to write.
fn imports(krate: &Path, handler: &Handler) -> TokenStream {
    let run = handler
        .run
        .is_default
        .then(|| quote!(use #krate::__private::NoRun as _;));
    let on_cancel = handler
        .on_cancel
        .as_ref()
        .filter(|on_cancel| on_cancel.is_default);
    let on_cancel = on_cancel.map(|_| quote!(use #krate::__private::NoOnCancel as _;));
    quote!(#run #on_cancel)
}

/// Returns an expression that tells whether the handler takes a group of tasks.
fn is_grouped(krate: &Path, Function { path, span, .. }: &Function) -> TokenStream {
    let private = private(krate, *span);
    quote_spanned!(*span=> #private::is_grouped::<Self, _, _>(&#path))
}

/// Returns the checks that need the type of the handler. A constant makes `cargo check` evaluate them too.
fn checks(task: &Task, handler: &Handler) -> Option<TokenStream> {
    let (krate, ident) = (&task.krate, &task.ident);
    let mut checks = TokenStream::new();
    let run = handler.run.span;
    let grouped = |span| {
        let private = private(krate, span);
        quote_spanned!(span=> <Self as #private::Handled>::HANDLER.grouped)
    };
    if task.resource_key.is_none() {
        let grouped = grouped(run);
        let message = format!(
            "this handler takes a `Vec`, but `{ident}` has no `#[resource_key]` to group by; add one"
        );
        checks.extend(quote_spanned!(run=> ::core::assert!(!#grouped, #message);));
    }
    if let Some(max_group) = &handler.max_group {
        let span = max_group.span();
        let grouped = grouped(span);
        let message =
            "`max_group` needs a handler that takes a `Vec`, but this one takes one task; remove `max_group`";
        checks.extend(quote_spanned!(span=> ::core::assert!(#grouped, #message);));
    }
    (!checks.is_empty()).then(|| quote!(const CHECKS: () = { #checks };))
}

/// Returns an expression for the configuration.
fn config(krate: &Path, handler: &Handler) -> TokenStream {
    let mut config = Steps::new("__config", quote!(#krate::__private::HandlerConfig::DEFAULT));
    if let Some(retry) = &handler.retry {
        config.call("retry", &retry::expand(krate, retry), retry.span());
    }
    if let Some(retry) = &handler.on_cancel_retry {
        config.call("on_cancel_retry", &retry::expand(krate, retry), retry.span());
    }
    if let Some(lease) = &handler.lease {
        config.call("lease", lease, lease.span());
    }
    if let Some(concurrency) = &handler.concurrency {
        config.call("concurrency", concurrency, concurrency.span());
    }
    if let Some(max_group) = &handler.max_group {
        config.call("max_group", max_group, max_group.span());
    }
    config.finish()
}
