//! The code a task type becomes.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{DeriveInput, Error, ExprPath, Ident, Member, Path};

use crate::ast::{Handler, Id, ResourceKey, Schedule, Task};
use crate::template::{Format, Part, Value};

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    match Task::parse(input) {
        Ok(task) => expand(&task),
        Err(error) => fallback(input, &error),
    }
}

fn expand(task: &Task) -> TokenStream {
    let Task {
        krate, ident, kind, ..
    } = task;
    let id = id(task);
    let resource_key = resource_key(task);
    let schedule = schedule(task);
    let handler = task.handler.as_ref().map(|handler| self::handler(task, handler));
    let constructor = if task.handler.is_some() {
        quote!(handled)
    } else {
        quote!(unhandled)
    };
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #krate::OnceTask for #ident {
                const KIND: &'static ::core::primitive::str = #kind;
                #id
                #resource_key
                #schedule
            }

            #handler

            #krate::__private::inventory::submit! {
                #krate::__private::Discovered(
                    #krate::TaskType::#constructor::<#ident>(::core::file!(), ::core::line!(), ::core::column!())
                )
            }
        };
    }
}

/// The errors, and an implementation that keeps them from causing more.
fn fallback(input: &DeriveInput, error: &Error) -> TokenStream {
    let ident = &input.ident;
    let error = error.to_compile_error();
    if !input.generics.params.is_empty() {
        return error;
    }
    quote! {
        #error

        #[automatically_derived]
        impl ::oncetask::OnceTask for #ident
        where
            // A bound that is false is an error, unless it has a lifetime:
            // https://github.com/rust-lang/rust/issues/48214
            for<'workaround> #ident: ::oncetask::__private::Payload,
        {
            const KIND: &'static ::core::primitive::str = "";

            fn id(&self) -> ::oncetask::TaskId {
                ::core::unreachable!()
            }
        }
    }
}

fn id(task: &Task) -> TokenStream {
    let krate = &task.krate;
    let builder = quote!(#krate::__private::IdBuilder::of_kind(<Self as #krate::OnceTask>::KIND));
    let id = match &task.id {
        Id::Parts(parts) => {
            let parts = parts.iter().map(part);
            quote!(#builder #(#parts)*)
        }
        Id::Content => quote!(#builder.hash(self)),
        Id::With(path) => with(&builder, path),
    };
    quote! {
        fn id(&self) -> #krate::TaskId {
            #id.id()
        }
    }
}

fn resource_key(task: &Task) -> Option<TokenStream> {
    let krate = &task.krate;
    let builder = quote!(#krate::__private::IdBuilder::resource());
    let key = match task.resource_key.as_ref()? {
        ResourceKey::Parts(parts) => {
            let parts = parts.iter().map(part);
            quote!(#builder #(#parts)*)
        }
        ResourceKey::Optional(value) => {
            let member = at(&value.member, value.span);
            quote_spanned!(value.span=> #builder.optional(self.#member.as_ref()))
        }
        ResourceKey::With(path) => with(&builder, path),
    };
    Some(quote! {
        fn resource_key(&self) -> ::core::option::Option<#krate::ResourceKey> {
            #key.key()
        }
    })
}

fn part(part: &Part) -> TokenStream {
    let Value {
        member,
        format,
        until,
        span,
    } = match part {
        Part::Text(text) => return quote!(.literal(#text)),
        Part::Value(value) => value,
    };
    let member = at(member, *span);
    match (format, until) {
        (Format::Display, None) => quote_spanned!(*span=> .part(&self.#member)),
        (Format::Display, Some(c)) => quote_spanned!(*span=> .part_until(&self.#member, #c)),
        (Format::Hash, _) => quote_spanned!(*span=> .hash(&self.#member)),
        (Format::Raw, _) => quote_spanned!(*span=> .raw(&self.#member)),
    }
}

fn with(builder: &TokenStream, path: &ExprPath) -> TokenStream {
    quote_spanned!(path.span()=> #builder.part(&#path(self)))
}

fn schedule(task: &Task) -> Option<TokenStream> {
    let krate = &task.krate;
    let schedule = match &task.schedule {
        Schedule::Now => return None,
        Schedule::RunAtField(member, span) => {
            let (krate, member) = (respan(krate, *span), at(member, *span));
            quote_spanned!(*span=> #krate::__private::RunAt::schedule(&self.#member))
        }
        Schedule::RunAtWith(path) => {
            let krate = respan(krate, path.span());
            quote_spanned!(path.span()=> #krate::__private::RunAt::schedule(&#path(self)))
        }
        Schedule::RecurrenceField(member, span) => {
            let (krate, member) = (respan(krate, *span), at(member, *span));
            quote_spanned!(*span=> #krate::__private::Recurs::schedule(&self.#member))
        }
        Schedule::RecurrenceWith(path) => {
            let krate = respan(krate, path.span());
            quote_spanned!(path.span()=> #krate::__private::Recurs::schedule(&#path(self)))
        }
        Schedule::Rule(rule) => {
            let text = &rule.text;
            let tz = rule.tz.iter().map(|tz| quote!(.__tz(#tz)));
            let dtstart = rule.dtstart.iter().map(|dtstart| quote!(.__dtstart(#dtstart)));
            let exdates = rule.exdates.iter().map(|exdate| quote!(.__exdate(#exdate)));
            quote!(#krate::__private::Schedule::Recurring(
                #krate::Recurrence::__checked(#text) #(#tz)* #(#dtstart)* #(#exdates)*
            ))
        }
    };
    Some(quote! {
        fn schedule(&self) -> #krate::__private::Schedule {
            #schedule
        }
    })
}

fn handler(task: &Task, handler: &Handler) -> TokenStream {
    let Task { krate, ident, .. } = task;
    let config = config(krate, handler);
    let run = &handler.run;
    let span = run.span();
    let private = respan(&krate.to_token_stream(), span);
    let private = quote_spanned!(span=> #private::__private);
    // A function of the user's may have these names.
    let delivery = Ident::new("delivery", Span::mixed_site());
    let needs = Ident::new("needs", Span::mixed_site());
    let grouped = quote_spanned!(span=> #private::is_grouped::<Self, _, _>(&#run));
    let run_fn = quote_spanned!(span=> |#delivery| #private::deliver::<Self, _, _>(#run, #delivery));
    let needs_run = quote_spanned!(span=> #private::needs(&#run, #needs););

    let mut cancel_fn = quote!(::core::option::Option::None);
    let mut needs_cancel = None;
    let mut checks = TokenStream::new();
    if let Some(cancel) = &handler.cancel {
        let span = cancel.span();
        let private = respan(&krate.to_token_stream(), span);
        let private = quote_spanned!(span=> #private::__private);
        cancel_fn = quote_spanned! {span=>
            ::core::option::Option::Some(|#delivery| #private::deliver::<Self, _, _>(#cancel, #delivery))
        };
        needs_cancel = Some(quote_spanned!(span=> #private::needs(&#cancel, #needs);));
        let message = "a cancellation handler takes one task, not a `Vec`";
        checks.extend(quote_spanned! {span=>
            ::core::assert!(!#private::is_grouped::<Self, _, _>(&#cancel), #message);
        });
    }
    if task.resource_key.is_none() {
        let message =
            format!("this handler takes a `Vec`, but `{ident}` has no `#[resource_key]` to group by");
        checks.extend(quote_spanned! {span=>
            ::core::assert!(!<Self as #private::Handled>::HANDLER.grouped, #message);
        });
    }
    quote! {
        impl #krate::__private::Handled for #ident {
            const HANDLER: #krate::__private::HandlerDefinition = #krate::__private::HandlerDefinition {
                config: #config,
                grouped: #grouped,
                run: #run_fn,
                cancel: #cancel_fn,
                needs: |#needs| {
                    #needs_run
                    #needs_cancel
                },
            };
            const CHECKS: () = { #checks };
        }
    }
}

fn config(krate: &Path, handler: &Handler) -> TokenStream {
    let retry = handler
        .retry
        .iter()
        .map(|retry| setter("retry", &retry.expand(krate)));
    let cancel_retry = handler
        .cancel_retry
        .iter()
        .map(|retry| setter("cancel_retry", &retry.expand(krate)));
    let lease = handler.lease.iter().map(|lease| setter("lease", lease));
    let concurrency = handler
        .concurrency
        .iter()
        .map(|count| setter("concurrency", count));
    let setters = retry.chain(cancel_retry).chain(lease).chain(concurrency);
    quote!(#krate::HandlerConfig::DEFAULT #(#setters)*)
}

/// A call that reports its errors where the value is written.
fn setter(name: &str, value: &impl quote::ToTokens) -> TokenStream {
    let span = value.span();
    let name = Ident::new(name, span);
    quote_spanned!(span=> .#name(#value))
}

/// The field, as if it were written at `span`: type errors point there.
fn at(member: &Member, span: Span) -> Member {
    let mut member = member.clone();
    match &mut member {
        Member::Named(ident) => ident.set_span(span),
        Member::Unnamed(index) => index.span = span,
    }
    member
}

/// The tokens, as if they were written at `span`.
fn respan(tokens: &impl quote::ToTokens, span: Span) -> TokenStream {
    let respanned = tokens.to_token_stream().into_iter().map(|mut token: TokenTree| {
        token.set_span(span);
        token
    });
    respanned.collect()
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    #[test]
    fn a_task_with_an_id_only() {
        let expanded = super::derive(&parse_quote! {
            #[id("{to}:{subject:hash}")]
            struct SendEmail { to: String, subject: String }
        });
        let file: syn::File = syn::parse2(expanded).unwrap();
        let text = prettyplease::unparse(&file);
        assert!(text.contains(".part_until(&self.to, ':')"), "{text}");
    }
}
