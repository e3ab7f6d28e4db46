//! The code for retry policies.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::spanned::Spanned as _;
use syn::{Ident, Path};

use super::span::Steps;
use crate::value::{Attempts, Policy, Retry};

/// Returns an expression for a policy.
pub(super) fn expand(krate: &Path, retry: &Retry) -> TokenStream {
    match retry {
        Retry::Never(_) => quote!(#krate::__private::Retry::never()),
        Retry::Constant(path) => path.to_token_stream(),
        Retry::Policy(policy) => expand_policy(krate, policy),
    }
}

fn expand_policy(krate: &Path, policy: &Policy) -> TokenStream {
    let start = if let Some(delay) = &policy.delay {
        quote!(#krate::__private::Retry::fixed(#delay))
    } else {
        quote!(#krate::__private::Retry::exponential())
    };
    let mut retry = Steps::new("__retry", start);
    match &policy.attempts {
        None => {}
        Some(Attempts::AtMost(count)) => retry.call("max_attempts", count, count.span()),
        Some(Attempts::Unlimited) => retry.call("unlimited", &NO_ARGUMENT, policy.span),
    }
    if let Some(base) = &policy.base {
        retry.call("base", base, base.span());
    }
    if let Some(max) = &policy.max {
        retry.call("max", max, max.span());
    }
    if let Some(factor) = policy.factor {
        retry.call("factor", &factor, policy.span);
    }
    if policy.full_jitter {
        retry.call("full_jitter", &NO_ARGUMENT, policy.span);
    }
    retry.finish()
}

const NO_ARGUMENT: Option<Ident> = None;
