//! Tests that one run of the derive reports every mistake.

use syn::{DeriveInput, parse_quote};

use crate::ast::Task;

/// Returns the messages of all errors.
fn errors(input: &DeriveInput) -> Vec<String> {
    let errors = Task::parse(input).err();
    errors
        .into_iter()
        .flatten()
        .map(|error| error.to_string())
        .collect()
}

#[test]
fn a_mistake_in_one_attribute_does_not_hide_those_in_others() {
    let errors = errors(&parse_quote! {
        #[task(kind = "a b", alias = "")]
        #[id("{usr}{x:?}")]
        #[resource_key("")]
        #[recurrence("FREQ=DALY", tz = "Mars", dtstart = "soon", missed = all(max = 0), gap = jump)]
        #[handler(retry = exponential(base = "1m", max = "1s", jitter = half), lease = "15", run = "x", on_cancel = 7)]
        struct Task {
            user: u8,
            #[handler]
            #[run_at(after = 5)]
            at: u8,
        }
    });
    let expected = [
        "whole number of at least 1",
        "`skip` or `shift`",
        "`full` or `none`",
        "`base` (1m) is longer than `max` (1s)",
        "`15` has no unit",
        "without quotes; write `run = x`",
        "as in `on_cancel = Self::on_cancel`",
        "`#[run_at]` on a field",
        "`#[handler]` is not supported on a field",
        "the kind `a b`",
        "the alias is empty",
        "no field `usr`",
        "`Debug` output",
        "must begin with text",
        "the template is empty",
        "invalid RFC 5545 recurrence rule",
        "unknown time zone `Mars`",
        "local date and time",
        "cannot be combined",
    ];
    for expected in expected {
        let found = errors.iter().filter(|error| error.contains(expected)).count();
        assert_eq!(found, 1, "{expected}: {errors:#?}");
    }
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
}

#[test]
fn a_type_that_cannot_be_a_task_has_one_error() {
    let generic = errors(&parse_quote! {
        #[id("")]
        #[handler(lease = 5)]
        struct Task<T>(T);
    });
    assert_eq!(generic.len(), 1, "{generic:#?}");
}

#[test]
fn a_suggested_id_uses_the_names_of_the_struct() {
    let errors = errors(&parse_quote! {
        #[id("{to}")]
        struct SendHTTPEmail2Bob { to: String }
    });
    assert!(
        errors[0].contains("write `#[id(\"send_httpemail2_bob:{to}\")]`"),
        "{errors:?}"
    );
}
