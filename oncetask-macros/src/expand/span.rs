use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Member, Path};

/// The tokens, as if they were written at `span`.
pub(super) fn respan(tokens: &impl ToTokens, span: Span) -> TokenStream {
    let respanned = tokens.to_token_stream().into_iter().map(|mut token: TokenTree| {
        token.set_span(match &token {
            // It stands for the crate of the macro that wrote it, and its span knows which.
            TokenTree::Ident(ident) if ident == "$crate" => span.resolved_at(ident.span()),
            _ => span,
        });
        token
    });
    respanned.collect()
}

/// The path of the library's hidden module, as if it were written at `span`.
pub(super) fn private(krate: &Path, span: Span) -> TokenStream {
    respan(&quote!(#krate::__private), span)
}

/// The field of `self`, as if it were written at `span`: type errors point there.
///
/// `self` is the one of our method even if the struct comes from a macro of the user's.
pub(super) fn field(member: &Member, span: Span) -> TokenStream {
    let mut member = member.clone();
    match &mut member {
        Member::Named(ident) => ident.set_span(span),
        Member::Unnamed(index) => index.span = span,
    }
    let this = this(span);
    quote::quote_spanned!(span=> #this.#member)
}

/// `self`, shown at `span`.
pub(super) fn this(span: Span) -> TokenStream {
    let ours = span.resolved_at(Span::call_site());
    quote::quote_spanned!(ours=> self)
}
