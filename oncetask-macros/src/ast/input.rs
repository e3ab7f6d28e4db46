//! The struct that the derive is on, and its fields, with their parsed attributes.

use proc_macro2::Span;
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Fields, Ident, Index, Member, Result, Type};

use crate::attr::Attrs;
use crate::errors::Errors;

/// A struct, before its attributes are checked against each other.
pub(super) struct Struct<'a> {
    pub(super) ident: &'a Ident,
    pub(super) attrs: Attrs,
    pub(super) fields: Vec<Field<'a>>,
}

/// A field of the struct.
pub(super) struct Field<'a> {
    pub(super) member: Member,
    pub(super) ty: &'a Type,
    pub(super) attrs: Attrs,
}

impl<'a> Struct<'a> {
    /// Parses the attributes of a struct and of its fields, and adds their errors to `errors`.
    ///
    /// # Errors
    ///
    /// Returns an error if the type cannot be a task, whatever its attributes are.
    pub(super) fn parse(input: &'a DeriveInput, errors: &mut Errors) -> Result<Self> {
        let fields = fields(input)?;
        Ok(Self {
            ident: &input.ident,
            attrs: Attrs::parse(&input.attrs, errors),
            fields: (0..)
                .zip(fields)
                .map(|(index, field)| Field::parse(index, field, errors))
                .collect(),
        })
    }
}

impl<'a> Field<'a> {
    fn parse(index: u32, field: &'a syn::Field, errors: &mut Errors) -> Self {
        let attrs = Attrs::parse(&field.attrs, errors);
        let task = attrs.task.as_ref().map(|task| ("task", task.span));
        let handler = attrs.handler.as_ref().map(|handler| ("handler", handler.span));
        for (name, span) in task.into_iter().chain(handler) {
            errors.at_span(
                span,
                format!("`#[{name}]` is not supported on a field; move it to the struct"),
            );
        }
        let ty = &field.ty;
        let unnamed = || {
            Member::Unnamed(Index {
                index,
                span: ty.span(),
            })
        };
        let member = field.ident.clone().map_or_else(unnamed, Member::Named);
        Self { member, ty, attrs }
    }

    /// Returns the name of the field, or its index in a tuple struct.
    pub(super) fn name(&self) -> String {
        member_name(&self.member)
    }

    /// Returns the span at which errors about the type of the field are shown.
    pub(super) fn type_span(&self) -> Span {
        self.ty.span()
    }

    /// Returns whether the type is written as `Option<_>`.
    pub(super) fn is_option(&self) -> bool {
        matches!(self.ty, Type::Path(ty) if ty.path.segments.last().is_some_and(|last| last.ident == "Option"))
    }
}

/// Returns the name of a field without `r#`, or its index in a tuple struct.
pub(super) fn member_name(member: &Member) -> String {
    match member {
        Member::Named(ident) => ident.unraw().to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}

/// Returns the fields of a type that can be a task: a struct without type parameters that owns its data.
fn fields(input: &DeriveInput) -> Result<&Fields> {
    if let Some(lifetime) = input.generics.lifetimes().next() {
        return Err(Error::new_spanned(
            lifetime,
            "a lifetime is not supported, because a task outlives the process that creates it; \
             own the data (`String` instead of `&str`)",
        ));
    }
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "a generic type is not supported, because the kind of a task does not identify its type arguments; \
             derive `OnceTask` for a struct that contains the concrete type",
        ));
    }
    match &input.data {
        Data::Struct(data) => Ok(&data.fields),
        Data::Enum(data) => Err(Error::new_spanned(
            data.enum_token,
            "an enum is not supported, because a task has one kind, one id and one handler; \
             derive `OnceTask` for a struct that contains the enum, or for one struct per variant",
        )),
        Data::Union(data) => Err(Error::new_spanned(
            data.union_token,
            "a union is not supported, because it cannot be stored; derive `OnceTask` for a struct",
        )),
    }
}
