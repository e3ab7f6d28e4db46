//! A task type: its attributes, checked against its fields and against each other.

mod handler;
mod key;
mod kind;
mod schedule;

use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Fields, Ident, Index, LitStr, Member, Path, Result, Type, parse_quote};

pub(crate) use self::handler::{Function, Handler};
pub(crate) use self::key::{Id, ResourceKey};
pub(crate) use self::schedule::Schedule;
use crate::attr::Attrs;
use crate::errors::Errors;

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

/// A struct, before its attributes are judged.
pub(crate) struct Struct<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) attrs: Attrs,
    pub(crate) fields: Vec<Field<'a>>,
}

pub(crate) struct Field<'a> {
    pub(crate) member: Member,
    pub(crate) ty: &'a Type,
    pub(crate) attrs: Attrs,
}

impl Task {
    pub(crate) fn parse(input: &DeriveInput) -> Result<Self> {
        // Nothing else that could be said of a type that cannot be a task would help.
        let fields = fields(input)?;
        let mut errors = Errors::default();
        let mut of = Struct {
            ident: &input.ident,
            attrs: Attrs::parse(&input.attrs, &mut errors),
            fields: parse_fields(fields, &mut errors),
        };
        let names = errors.ok(kind::check(&of));
        let id = errors.ok(key::id(&of));
        let resource_key = errors.ok(key::resource_key(&of));
        let schedule = errors.ok(schedule::check(&of));
        let handler = errors.ok(of.attrs.handler.take().map(handler::check).transpose());
        let parts = names.zip(id).zip(resource_key).zip(schedule).zip(handler);
        let task = parts.map(
            |((((names, id), resource_key), (schedule, at_start)), handler)| Self {
                krate: krate(&of.attrs),
                ident: input.ident.clone(),
                kind: names.kind,
                aliases: names.aliases,
                id,
                resource_key,
                schedule,
                at_start,
                handler,
            },
        );
        errors.finish(task)
    }
}

/// The path of the library, `::oncetask` unless an attribute says another.
pub(crate) fn krate(attrs: &Attrs) -> Path {
    let given = attrs.task.as_ref().and_then(|task| task.krate.clone());
    given.unwrap_or_else(|| parse_quote!(::oncetask))
}

impl Field<'_> {
    pub(crate) fn name(&self) -> String {
        member_name(&self.member)
    }

    /// Whether the type is written `Option<_>`.
    pub(crate) fn is_option(&self) -> bool {
        matches!(self.ty, Type::Path(ty) if ty.path.segments.last().is_some_and(|last| last.ident == "Option"))
    }
}

pub(crate) fn member_name(member: &Member) -> String {
    match member {
        Member::Named(ident) => ident.unraw().to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}

fn fields(input: &DeriveInput) -> Result<&Fields> {
    if let Some(lifetime) = input.generics.lifetimes().next() {
        return Err(Error::new_spanned(
            lifetime,
            "a task outlives the process that creates it, so it cannot borrow; \
             own the data (`String` instead of `&str`)",
        ));
    }
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "a generic type cannot be a task, for its kind would not tell which type to read back; \
             derive `OnceTask` for a struct that contains the concrete type",
        ));
    }
    match &input.data {
        Data::Struct(data) => Ok(&data.fields),
        Data::Enum(data) => Err(Error::new_spanned(
            data.enum_token,
            "an enum cannot be a task, for a task has one kind, one id and one handler; \
             derive `OnceTask` for a struct that contains the enum, or for a struct for each variant",
        )),
        Data::Union(data) => Err(Error::new_spanned(
            data.union_token,
            "a union cannot be a task, for it cannot be stored; derive `OnceTask` for a struct",
        )),
    }
}

fn parse_fields<'a>(fields: &'a Fields, errors: &mut Errors) -> Vec<Field<'a>> {
    let mut parsed = Vec::new();
    for (index, field) in (0..).zip(fields) {
        let attrs = Attrs::parse(&field.attrs, errors);
        let task = attrs.task.as_ref().map(|task| ("task", task.span));
        let handler = attrs.handler.as_ref().map(|handler| ("handler", handler.span));
        for (name, span) in task.into_iter().chain(handler) {
            errors.at_span(span, format!("`#[{name}]` belongs on the struct"));
        }
        let span = field.ty.span();
        let member = field
            .ident
            .clone()
            .map_or(Member::Unnamed(Index { index, span }), Member::Named);
        parsed.push(Field {
            member,
            ty: &field.ty,
            attrs,
        });
    }
    parsed
}
