//! Paths of functions.

use syn::parse::ParseStream;
use syn::token::Paren;
use syn::{Error, ExprPath, Ident, LitStr, Result, Token};

use crate::options::OptionInput;

/// Parses the path of a function in `key = path`.
pub(crate) fn function(input: &OptionInput<'_>) -> Result<ExprPath> {
    let key = input.key().to_string();
    let path = input.value_with(|stream| Ok(parse(stream)))?;
    path.map_err(|(error, mistake)| Error::new(error.span(), mistake.message(&key)))
}

/// A mistake in place of the path.
enum Mistake {
    Quoted(String),
    Closure,
    Call,
    Other,
}

impl Mistake {
    fn message(&self, key: &str) -> String {
        let example = if key == "with" { "key" } else { key };
        match self {
            Self::Quoted(path) => {
                format!("expected the path of a function without quotes; write `{key} = {path}`")
            }
            Self::Call => "expected the path of a function, not a call; remove the parentheses".to_owned(),
            Self::Closure if key != "with" => format!(
                "a closure is not supported; write the path of a function, as in `{key} = Self::{key}`, \
                 or pass the closure to the builder: `oncetask::builder().handler(Handler::new(..))`"
            ),
            Self::Closure => {
                format!(
                    "a closure is not supported; write the path of a function, as in `{key} = Self::{example}`"
                )
            }
            Self::Other => format!("expected the path of a function, as in `{key} = Self::{example}`"),
        }
    }
}

fn parse(input: ParseStream) -> std::result::Result<ExprPath, (Error, Mistake)> {
    let here = || input.error("not the path of a function");
    if let Ok(text) = input.fork().parse::<LitStr>() {
        return Err((here(), Mistake::Quoted(text.value())));
    }
    if input.peek(Token![|]) || input.peek(Token![move]) || input.peek(Token![async]) {
        return Err((here(), Mistake::Closure));
    }
    let path: ExprPath = input.parse().map_err(|error| (error, Mistake::Other))?;
    if input.peek(Paren) {
        return Err((here(), Mistake::Call));
    }
    let is_module = |name: &Ident| name == "crate" || name == "self" || name == "super";
    if path.path.get_ident().is_some_and(is_module) {
        return Err((Error::new_spanned(&path, "a module"), Mistake::Other));
    }
    Ok(path)
}
