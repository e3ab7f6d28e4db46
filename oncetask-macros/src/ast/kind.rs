use syn::ext::IdentExt as _;
use syn::{LitStr, Result};

use super::Struct;
use crate::errors::Errors;

/// The names under which tasks of a type are stored.
pub(super) struct Names {
    pub(super) kind: LitStr,
    pub(super) aliases: Vec<LitStr>,
}

const LONGEST: usize = 64;

pub(super) fn check(of: &Struct<'_>) -> Result<Names> {
    let mut errors = Errors::default();
    let given = of.attrs.task.as_ref().and_then(|task| task.kind.clone());
    let kind = given.unwrap_or_else(|| LitStr::new(&of.ident.unraw().to_string(), of.ident.span()));
    let aliases = of
        .attrs
        .task
        .as_ref()
        .map(|task| task.aliases.clone())
        .unwrap_or_default();
    if let Some(task) = &of.attrs.task
        && task.is_empty
    {
        let message = "`#[task]` says nothing; write `#[task(kind = \"..\")]`, or remove it";
        errors.at_span(task.span, message);
    }
    if let Err(reason) = check_name(&kind.value(), "kind") {
        errors.at(&kind, reason);
    }
    for (index, alias) in aliases.iter().enumerate() {
        let text = alias.value();
        if let Err(reason) = check_name(&text, "alias") {
            errors.at(alias, reason);
        } else if text == kind.value() {
            errors.at(
                alias,
                format!("`{text}` is the kind itself; an alias is a name it had before"),
            );
        } else if aliases[..index].iter().any(|other| other.value() == text) {
            errors.at(alias, format!("the alias `{text}` is given twice"));
        }
    }
    errors.finish(Some(Names { kind, aliases }))
}

fn check_name(name: &str, what: &str) -> std::result::Result<(), String> {
    let mut chars = name.chars();
    let wrong = chars.find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.'));
    match wrong {
        Some(c) => {
            let c = c.escape_debug();
            Err(format!(
                "the {what} `{}` has a `{c}`: only ASCII letters, digits, `_`, `-` and `.` are allowed",
                name.escape_debug()
            ))
        }
        None if name.is_empty() => Err(format!("the {what} is empty")),
        None if name.len() > LONGEST => Err(format!(
            "the {what} has {} characters, and {LONGEST} is the limit",
            name.len()
        )),
        None => Ok(()),
    }
}
