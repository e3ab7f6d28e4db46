//! The syntax of each attribute, independent of the type and of the other attributes.

mod handler;
mod key;
mod schedule;
mod task;

use quote::ToTokens as _;
use syn::parse::ParseStream;
use syn::{Attribute, Error, ExprPath, Ident, Path, Result, parse_quote};

pub(crate) use self::handler::{HandlerAttr, OnCancelForm};
pub(crate) use self::key::{KeyAttr, KeyForm};
pub(crate) use self::schedule::{RecurrenceAttr, RecurrenceForm, Rule, RunAtAttr, RunAtForm};
pub(crate) use self::task::TaskAttr;
use crate::errors::Errors;
use crate::options::OptionInput;
use crate::value;

/// The attributes of the derive on a struct or on a field.
#[derive(Default)]
pub(crate) struct Attrs {
    pub(crate) task: Option<TaskAttr>,
    pub(crate) id: Option<KeyAttr>,
    pub(crate) resource_key: Option<KeyAttr>,
    pub(crate) run_at: Option<RunAtAttr>,
    pub(crate) recurrence: Option<RecurrenceAttr>,
    pub(crate) handler: Option<HandlerAttr>,
}

impl Attrs {
    /// Parses the attributes of the derive and ignores all others.
    pub(crate) fn parse(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut this = Self::default();
        for attr in attrs {
            let Some(name) = attr.path().get_ident() else {
                continue;
            };
            match name.to_string().as_str() {
                "task" => once(&mut this.task, attr, errors, task::parse),
                "id" => once(&mut this.id, attr, errors, key::parse_id),
                "resource_key" => once(&mut this.resource_key, attr, errors, key::parse_resource_key),
                "run_at" => once(&mut this.run_at, attr, errors, schedule::parse_run_at),
                "recurrence" => once(&mut this.recurrence, attr, errors, schedule::parse_recurrence),
                "handler" => once(&mut this.handler, attr, errors, handler::parse),
                _ => {}
            }
        }
        this
    }

    /// Returns the path of the library: `::oncetask`, or the path in `#[task(crate = path)]`.
    pub(crate) fn krate(&self) -> Path {
        let given = self.task.as_ref().and_then(|task| task.krate.clone());
        given.unwrap_or_else(|| parse_quote!(::oncetask))
    }
}

/// Parses an attribute into its slot, unless the slot is taken.
fn once<T>(
    slot: &mut Option<T>,
    attr: &Attribute,
    errors: &mut Errors,
    parse: fn(&Attribute, &mut Errors) -> T,
) {
    if slot.is_some() {
        let name = attr.path().to_token_stream();
        errors.at(attr, format!("`#[{name}]` is given twice; keep one of them"));
    } else {
        *slot = Some(parse(attr, errors));
    }
}

/// Parses `with = path`.
fn parse_with(input: ParseStream, expected: &str) -> Result<ExprPath> {
    let key: Ident = input
        .parse()
        .map_err(|error| Error::new(error.span(), expected))?;
    if key != "with" {
        return Err(Error::new_spanned(key, expected));
    }
    value::function(&OptionInput::new(input, &key))
}

/// Checks that the input ends here.
fn parse_end(input: ParseStream, expected: &str) -> Result<()> {
    if input.is_empty() {
        Ok(())
    } else {
        Err(input.error(expected))
    }
}
