//! Retry policies.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Ident, Path};

use super::span::private;
use crate::value::{Attempts, Policy, Retry};

pub(super) fn expand(krate: &Path, retry: &Retry) -> TokenStream {
    match retry {
        Retry::Never(_) => quote!(#krate::__private::Retry::never()),
        Retry::Constant(path) => path.to_token_stream(),
        Retry::Policy(policy) => expand_policy(krate, policy),
    }
}

fn expand_policy(krate: &Path, policy: &Policy) -> TokenStream {
    let mut retry = match &policy.delay {
        Some(delay) => quote!(#krate::__private::Retry::fixed(#delay)),
        None => quote!(#krate::__private::Retry::exponential()),
    };
    let mut set = |name: &str, value: TokenStream, span: Span| {
        let (private, name) = (private(krate, span), Ident::new(name, span));
        retry = quote_spanned!(span=> #private::Retry::#name(#retry, #value));
    };
    match &policy.attempts {
        None => {}
        Some(Attempts::AtMost(count)) => set("max_attempts", count.to_token_stream(), count.span()),
        Some(Attempts::Unlimited) => set("unlimited", TokenStream::new(), policy.span),
    }
    if let Some(base) = &policy.base {
        set("base", base.to_token_stream(), base.span());
    }
    if let Some(max) = &policy.max {
        set("max", max.to_token_stream(), max.span());
    }
    if let Some(factor) = policy.factor {
        set("factor", quote!(#factor), policy.span);
    }
    if policy.full_jitter {
        set("full_jitter", TokenStream::new(), policy.span);
    }
    retry
}
