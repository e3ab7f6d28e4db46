//! The code for the schedule.

use oncetask_recurrence::{Gap, Missed, Overlap};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{ExprPath, Path};

use super::span::{Bindings, called, private, respan};
use crate::ast::{Schedule, Task};
use crate::attr::Rule;

/// Returns the method `schedule`; `None` for a task that runs at once, which is the default.
pub(super) fn expand(task: &Task) -> Option<TokenStream> {
    let krate = &task.krate;
    let mut bindings = Bindings::default();
    let schedule = match &task.schedule {
        Schedule::Now => return None,
        Schedule::RunAtField(member, span) => {
            let (private, field) = (private(krate, *span), bindings.field(member, *span));
            quote_spanned!(*span=> #private::RunAt::schedule(#field))
        }
        Schedule::RecurrenceField(member, span) => {
            let (private, field) = (private(krate, *span), bindings.field(member, *span));
            quote_spanned!(*span=> #private::Recurs::schedule(#field))
        }
        Schedule::RunAtWith(path) => with(krate, path, &quote!(RunAt)),
        Schedule::RecurrenceWith(path) => with(krate, path, &quote!(Recurs)),
        Schedule::Rule(rule) => {
            let recurrence = recurrence(krate, rule);
            quote!(#krate::__private::Schedule::Recurring(#recurrence))
        }
    };
    let bindings = bindings.statement();
    Some(quote! {
        fn schedule(&self) -> #krate::__private::Schedule {
            #bindings
            #schedule
        }
    })
}

/// Returns the schedule that a function returns, converted by a trait.
fn with(krate: &Path, path: &ExprPath, conversion: &TokenStream) -> TokenStream {
    let span = path.span();
    let (private, value) = (private(krate, span), called(path, span));
    let conversion = respan(conversion, span);
    quote_spanned!(span=> #private::#conversion::schedule(&#value))
}

/// Returns an expression for a rule, which is already checked.
fn recurrence(krate: &Path, rule: &Rule) -> TokenStream {
    let Rule {
        text,
        tz,
        dtstart,
        exdates,
        rdates,
        missed,
        gap,
        overlap,
    } = rule;
    let (tz, dtstart) = (tz.iter(), dtstart.iter());
    let gap = gap.map(|gap| match gap {
        Gap::Skip => quote!(.gap(#krate::__private::Gap::Skip)),
        Gap::Shift => quote!(.gap(#krate::__private::Gap::Shift)),
    });
    let overlap = overlap.map(|overlap| match overlap {
        Overlap::First => quote!(.overlap(#krate::__private::Overlap::First)),
        Overlap::Both => quote!(.overlap(#krate::__private::Overlap::Both)),
    });
    let missed = missed.map(|missed| match missed {
        Missed::One => quote!(.missed(#krate::__private::Missed::One)),
        Missed::All { max } => quote!(.missed(#krate::__private::Missed::All { max: #max })),
        Missed::Skip => quote!(.missed(#krate::__private::Missed::Skip)),
    });
    quote! {
        #krate::__private::Recurrence::__checked(#text)
            #(.__tz(#tz))* #(.__dtstart(#dtstart))* #(.__exdate(#exdates))* #(.__rdate(#rdates))*
            #gap #overlap #missed
    }
}
