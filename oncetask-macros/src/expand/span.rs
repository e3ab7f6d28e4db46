//! Tokens of ours in the place of the user's.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Ident, Member, Path};

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

/// Fields of `self` as variables that are written where the user names the fields, so that type errors point
/// there.
///
/// `self.field` would not do: in a struct that a macro of the user's writes, `self` at the user's place is
/// another than the `self` of our method.
#[derive(Default)]
pub(super) struct Bindings {
    patterns: Vec<TokenStream>,
}

impl Bindings {
    /// A variable that is a reference to the field.
    pub(super) fn field(&mut self, member: &Member, span: Span) -> Ident {
        let variable = format_ident!("__self_{}", self.patterns.len(), span = span);
        self.patterns.push(quote!(#member: #variable));
        variable
    }

    /// The statement that binds them.
    pub(super) fn statement(&self) -> Option<TokenStream> {
        let patterns = &self.patterns;
        (!patterns.is_empty()).then(|| quote!(let Self { #(#patterns,)* .. } = self;))
    }
}

/// A call of the user's function with `self`.
pub(super) fn called(path: &impl ToTokens, span: Span) -> TokenStream {
    let this = Ident::new("__self", span);
    let statement = quote!(let #this = self;);
    let call = quote_spanned!(span=> #path(#this));
    quote_spanned!(span=> { #statement #call })
}

/// A value that is built by method calls, each where the user writes its argument.
///
/// One chain of calls would not do: every call in it begins where the chain does.
pub(super) struct Steps {
    variable: &'static str,
    before: TokenStream,
    value: TokenStream,
}

impl Steps {
    pub(super) fn new(variable: &'static str, value: TokenStream) -> Self {
        Self {
            variable,
            before: TokenStream::new(),
            value,
        }
    }

    /// Calls a method of the value; there may be no argument.
    pub(super) fn call(&mut self, method: &str, argument: &impl ToTokens, span: Span) {
        let [variable, method] = [self.variable, method].map(|name| Ident::new(name, span));
        let value = &self.value;
        self.before.extend(quote!(let #variable = #value;));
        self.value = quote_spanned!(span=> #variable.#method(#argument));
    }

    pub(super) fn finish(self) -> TokenStream {
        let Self { before, value, .. } = self;
        quote!({ #before #value })
    }
}
