//! The code for the id and the resource key.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ExprPath;
use syn::spanned::Spanned as _;

use super::span::{Bindings, called, respan};
use crate::ast::{Format, Id, Part, ResourceKey, Task, Value};

pub(super) fn id(task: &Task) -> TokenStream {
    let krate = &task.krate;
    let builder = quote!(#krate::__private::IdBuilder);
    let of_kind = quote!(#builder::of_kind(<Self as #krate::OnceTask>::KIND));
    let mut bindings = Bindings::default();
    let id = match &task.id {
        Id::Template(parts) => appended(&quote!(#builder::task()), parts, &mut bindings),
        Id::Fields(parts) => appended(&of_kind, parts, &mut bindings),
        Id::Content => quote!(#of_kind.hash(self)),
        Id::With(path) => with(&of_kind, path),
    };
    let bindings = bindings.statement();
    quote! {
        fn id(&self) -> #krate::__private::TaskId {
            #bindings
            #id.id()
        }
    }
}

pub(super) fn resource_key(task: &Task) -> Option<TokenStream> {
    let krate = &task.krate;
    let builder = quote!(#krate::__private::IdBuilder::resource());
    let mut bindings = Bindings::default();
    let key = match task.resource_key.as_ref()? {
        ResourceKey::Parts(parts) => appended(&builder, parts, &mut bindings),
        ResourceKey::Optional(Value { member, span, .. }) => {
            let field = bindings.field(member, *span);
            let builder = respan(&builder, *span);
            quote_spanned!(*span=> #builder.optional(#field.as_ref()))
        }
        ResourceKey::With(path) => with(&builder, path),
    };
    let bindings = bindings.statement();
    Some(quote! {
        fn resource_key(&self) -> ::core::option::Option<#krate::__private::ResourceKey> {
            #bindings
            #key.key()
        }
    })
}

/// Returns a builder to which the parts are appended.
fn appended(builder: &TokenStream, parts: &[Part], bindings: &mut Bindings) -> TokenStream {
    let parts = parts.iter().map(|part| appended_part(part, bindings));
    quote!(#builder #(#parts)*)
}

/// Returns the method call that appends a part.
fn appended_part(part: &Part, bindings: &mut Bindings) -> TokenStream {
    let Value {
        member,
        format,
        until,
        span,
    } = match part {
        Part::Text(text) => return quote!(.literal(#text)),
        Part::Value(value) => value,
    };
    let field = bindings.field(member, *span);
    match (format, until) {
        (Format::Display, None) => quote_spanned!(*span=> .part(#field)),
        (Format::Display, Some(c)) => quote_spanned!(*span=> .part_until(#field, #c)),
        (Format::Hash, _) => quote_spanned!(*span=> .hash(#field)),
        (Format::Raw, _) => quote_spanned!(*span=> .raw(#field)),
    }
}

/// Returns a builder to which the result of a function is appended.
fn with(builder: &TokenStream, path: &ExprPath) -> TokenStream {
    let span = path.span();
    let (builder, value) = (respan(builder, span), called(path, span));
    quote_spanned!(span=> #builder.part(&#value))
}
