//! A task type: its attributes, combined with its fields and checked against each other.

mod handler;
mod input;
mod key;
mod kind;
mod rule;
mod schedule;
mod template;

use syn::{DeriveInput, Ident, LitStr, Path, Result};

pub(crate) use self::handler::{Function, Handler};
use self::input::Struct;
pub(crate) use self::key::{Id, ResourceKey};
pub(crate) use self::schedule::Schedule;
pub(crate) use self::template::{Format, Part, Value};
use crate::errors::Errors;

/// A valid task type.
pub(crate) struct Task {
    pub(crate) krate: Path,
    pub(crate) ident: Ident,
    pub(crate) kind: LitStr,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) id: Id,
    pub(crate) resource_key: Option<ResourceKey>,
    pub(crate) schedule: Schedule,
    pub(crate) at_start: bool,
    pub(crate) handler: Option<Handler>,
}

impl Task {
    /// Parses and checks the input of the derive.
    ///
    /// # Errors
    ///
    /// Returns every error in the attributes. A type that cannot be a task has only that error, because no other
    /// error would help.
    pub(crate) fn parse(input: &DeriveInput) -> Result<Self> {
        let mut errors = Errors::default();
        let mut input = Struct::parse(input, &mut errors)?;
        let names = errors.ok(kind::check(&input));
        let id = errors.ok(key::id(&input));
        let resource_key = errors.ok(key::resource_key(&input));
        let schedule = errors.ok(schedule::check(&input));
        let at_start = errors.ok(schedule::at_start(&input));
        let handler = errors.ok(input.attrs.handler.take().map(handler::check).transpose());
        let (Some(names), Some(id), Some(resource_key), Some(schedule), Some(at_start), Some(handler)) =
            (names, id, resource_key, schedule, at_start, handler)
        else {
            return errors.finish(None);
        };
        errors.finish(Some(Self {
            krate: input.attrs.krate(),
            ident: input.ident.clone(),
            kind: names.kind,
            aliases: names.aliases,
            id,
            resource_key,
            schedule,
            at_start,
            handler,
        }))
    }
}
