//! The code that a task type becomes.
//!
//! What is checked by types carries the span of the user's tokens, so that the compiler's errors point there;
//! everything else has the span of the derive.

mod handler;
mod key;
mod retry;
mod schedule;
mod span;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error};

use crate::ast::{self, Task};
use crate::attr::Attrs;
use crate::errors::Errors;

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

/// The errors, and an implementation that keeps them from causing more.
fn fallback(input: &DeriveInput, error: &Error) -> TokenStream {
    let error = error.to_compile_error();
    // What is wrong with the attributes has been said.
    let krate = ast::krate(&Attrs::parse(&input.attrs, &mut Errors::default()));
    let ident = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let bounds = bounds.into_iter().flat_map(|bounds| &bounds.predicates);
    quote! {
        #error

        #[automatically_derived]
        impl #generics #krate::OnceTask for #ident #arguments
        where
            #(#bounds,)*
            // A bound that is false is an error, unless it has a lifetime:
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
