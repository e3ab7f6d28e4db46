//! The code generated for a task type.
//!
//! An expression that can fail to type-check has the span of the user's tokens, so that the compiler's error points
//! there. All other code has the span of the derive.

mod handler;
mod key;
mod retry;
mod schedule;
mod span;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error};

use crate::ast::Task;
use crate::attr::Attrs;
use crate::errors::Errors;

/// Returns the expansion of the derive, or its errors.
pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    match Task::parse(input) {
        Ok(task) => expand(&task),
        Err(error) => fallback(input, &error),
    }
}

fn expand(task: &Task) -> TokenStream {
    let Task {
        krate,
        ident,
        kind,
        aliases,
        ..
    } = task;
    let aliases = (!aliases.is_empty()).then(|| {
        quote! {
            const ALIASES: &'static [&'static ::core::primitive::str] = &[#(#aliases),*];
        }
    });
    let id = key::id(task);
    let resource_key = key::resource_key(task);
    let schedule = schedule::expand(task);
    let handler = task
        .handler
        .as_ref()
        .map(|handler| handler::expand(task, handler));
    let registration = registration(task);
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #krate::OnceTask for #ident {
                const KIND: &'static ::core::primitive::str = #kind;
                #aliases
                #id
                #resource_key
                #schedule
            }

            #handler
            #registration
        };
    }
}

/// Returns the registration, by which a worker discovers the type.
fn registration(task: &Task) -> TokenStream {
    let Task { krate, ident, .. } = task;
    let constructor = if task.handler.is_some() {
        quote!(handled)
    } else {
        quote!(unhandled)
    };
    let at_start = task
        .at_start
        .then(|| quote!(.at_start(|| #krate::__private::Draft::of(&#ident {}))));
    quote! {
        #krate::__private::inventory::submit! {
            #krate::__private::Discovered(
                #krate::__private::TaskType::#constructor::<#ident>(
                    ::core::file!(), ::core::line!(), ::core::column!(),
                ) #at_start
            )
        }
    }
}

/// Returns the errors, and an implementation that keeps them from causing further errors.
fn fallback(input: &DeriveInput, error: &Error) -> TokenStream {
    let error = error.to_compile_error();
    // The errors of the attributes are already in `error`.
    let krate = Attrs::parse(&input.attrs, &mut Errors::default()).krate();
    let ident = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let bounds = bounds.into_iter().flat_map(|bounds| &bounds.predicates);
    quote! {
        #error

        #[automatically_derived]
        impl #generics #krate::OnceTask for #ident #arguments
        where
            #(#bounds,)*
            // An unmet bound without type parameters is an error, unless it has a lifetime:
            // https://github.com/rust-lang/rust/issues/48214
            for<'workaround> #ident #arguments: #krate::__private::Payload,
        {
            const KIND: &'static ::core::primitive::str = "";

            fn id(&self) -> #krate::__private::TaskId {
                ::core::unreachable!()
            }
        }
    }
}
