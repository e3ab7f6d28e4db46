//! When the task runs.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{ExprPath, Path};

use super::span::{field, private, this};
use crate::ast::{Schedule, Task};

pub(super) fn expand(task: &Task) -> Option<TokenStream> {
    let krate = &task.krate;
    let schedule = match &task.schedule {
        Schedule::Now => return None,
        Schedule::RunAtField(member, span) => {
            let (private, field) = (private(krate, *span), field(member, *span));
            quote_spanned!(*span=> #private::RunAt::schedule(&#field))
        }
        Schedule::RecurrenceField(member, span) => {
            let (private, field) = (private(krate, *span), field(member, *span));
            quote_spanned!(*span=> #private::Recurs::schedule(&#field))
        }
        Schedule::RunAtWith(path) => with(krate, path, &quote!(RunAt)),
        Schedule::RecurrenceWith(path) => with(krate, path, &quote!(Recurs)),
        Schedule::Rule(_) => quote!(#krate::__private::Schedule::Now),
    };
    Some(quote! {
        fn schedule(&self) -> #krate::__private::Schedule {
            #schedule
        }
    })
}

fn with(krate: &Path, path: &ExprPath, of: &TokenStream) -> TokenStream {
    let span = path.span();
    let (private, this) = (private(krate, span), this(span));
    quote_spanned!(span=> #private::#of::schedule(&#path(#this)))
}
