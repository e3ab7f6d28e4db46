//! The kind of a task type, and its aliases.

use syn::ext::IdentExt as _;
use syn::{LitStr, Result};

use super::input::Struct;
use crate::errors::Errors;

/// The names under which tasks of a type are stored.
pub(super) struct Names {
    pub(super) kind: LitStr,
    pub(super) aliases: Vec<LitStr>,
}

/// The maximum length of a kind or an alias, in characters. All of them are ASCII.
const MAX_CHARS: usize = 64;

/// Returns the kind and the aliases. Each name is valid, and given once.
pub(super) fn check(input: &Struct<'_>) -> Result<Names> {
    let mut errors = Errors::default();
    let task = input.attrs.task.as_ref();
    if let Some(task) = task.filter(|task| task.is_empty) {
        let message = "`#[task]` without options has no effect; write `#[task(kind = \"..\")]`, or remove it";
        errors.at_span(task.span, message);
    }
    let given = task.and_then(|task| task.kind.clone());
    let advice = match given {
        Some(_) => "",
        None => "; write another with `#[task(kind = \"..\")]`",
    };
    let kind = given.unwrap_or_else(|| LitStr::new(&input.ident.unraw().to_string(), input.ident.span()));
    if let Err(reason) = check_name(&kind.value(), "kind") {
        errors.at(&kind, format!("{reason}{advice}"));
    }
    let aliases = task.map(|task| task.aliases.clone()).unwrap_or_default();
    for (index, alias) in aliases.iter().enumerate() {
        let text = alias.value();
        if let Err(reason) = check_name(&text, "alias") {
            errors.at(alias, reason);
        } else if text == kind.value() {
            let message = format!("`{text}` is already the kind; an alias is an earlier name of the type");
            errors.at(alias, message);
        } else if aliases[..index].iter().any(|other| other.value() == text) {
            let message = format!("the alias `{text}` is given twice; remove one of them");
            errors.at(alias, message);
        }
    }
    errors.finish(Some(Names { kind, aliases }))
}

/// Checks the characters and the length of a name. The error is a message, in which `noun` stands for the name.
fn check_name(name: &str, noun: &str) -> std::result::Result<(), String> {
    let mut chars = name.chars();
    let invalid = chars.find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.'));
    match invalid {
        Some(c) => {
            let (name, c) = (name.escape_debug(), c.escape_debug());
            Err(format!(
                "the {noun} `{name}` contains `{c}`, but only ASCII letters, digits, `_`, `-` and `.` are allowed"
            ))
        }
        None if name.is_empty() => Err(format!("the {noun} is empty; write a name, or remove the option")),
        None if name.len() > MAX_CHARS => Err(format!(
            "the {noun} has {} characters, but at most {MAX_CHARS} are allowed",
            name.len()
        )),
        None => Ok(()),
    }
}
