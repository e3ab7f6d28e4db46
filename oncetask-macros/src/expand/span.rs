//! Generated tokens with the spans of the user's tokens.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Ident, Member, Path};

/// Returns the tokens with this span.
pub(super) fn respan(tokens: &impl ToTokens, span: Span) -> TokenStream {
    let respanned = tokens.to_token_stream().into_iter().map(|mut token: TokenTree| {
        token.set_span(match &token {
            // `$crate` is the crate of the macro that wrote it, which only its own span identifies.
            TokenTree::Ident(ident) if ident == "$crate" => span.resolved_at(ident.span()),
            _ => span,
        });
        token
    });
    respanned.collect()
}

/// Returns the path of the library's hidden module with this span.
pub(super) fn private(krate: &Path, span: Span) -> TokenStream {
    respan(&quote!(#krate::__private), span)
}

/// Fields of `self`, bound to variables with the spans of the user's field names, so that type errors point there.
///
/// `self.field` does not work: in a struct that a macro of the user defines, a `self` with the user's span is not the
/// `self` of the generated method.
#[derive(Default)]
pub(super) struct Bindings {
    patterns: Vec<TokenStream>,
}

impl Bindings {
    /// Returns a variable that is a reference to the field.
    pub(super) fn field(&mut self, member: &Member, span: Span) -> Ident {
        let variable = format_ident!("__self_{}", self.patterns.len(), span = span);
        self.patterns.push(quote!(#member: #variable));
        variable
    }

    /// Returns the statement that binds all variables.
    pub(super) fn statement(&self) -> Option<TokenStream> {
        let patterns = &self.patterns;
        (!patterns.is_empty()).then(|| quote!(let Self { #(#patterns,)* .. } = self;))
    }
}

/// Returns a call of the user's function with `self`.
pub(super) fn called(path: &impl ToTokens, span: Span) -> TokenStream {
    let this = Ident::new("__self", span);
    let statement = quote!(let #this = self;);
    let call = quote_spanned!(span=> #path(#this));
    quote_spanned!(span=> { #statement #call })
}

/// A value built by method calls, each with the span of the user's argument.
///
/// One chain of calls does not work: the span of every call in it begins where the chain begins.
pub(super) struct Steps {
    variable: &'static str,
    before: TokenStream,
    value: TokenStream,
}

impl Steps {
    /// Returns a value before the first call. The variable holds the results of the calls.
    pub(super) fn new(variable: &'static str, value: TokenStream) -> Self {
        Self {
            variable,
            before: TokenStream::new(),
            value,
        }
    }

    /// Adds a call of a method with one argument or none.
    pub(super) fn call(&mut self, method: &str, argument: &impl ToTokens, span: Span) {
        let [variable, method] = [self.variable, method].map(|name| Ident::new(name, span));
        let value = &self.value;
        self.before.extend(quote!(let #variable = #value;));
        self.value = quote_spanned!(span=> #variable.#method(#argument));
    }

    /// Returns the block that makes all calls.
    pub(super) fn finish(self) -> TokenStream {
        let Self { before, value, .. } = self;
        quote!({ #before #value })
    }
}
