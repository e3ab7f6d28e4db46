use syn::parse::ParseStream;
use syn::token::Paren;
use syn::{Error, ExprPath, Ident, LitStr, Result, Token};

use crate::options::Input;

/// The path of a function, `key = path`.
pub(crate) fn function(input: &Input<'_>) -> Result<ExprPath> {
    let key = input.key().to_string();
    let path = input.value_with(|stream| Ok(parse(stream)))?;
    path.map_err(|(error, what)| Error::new(error.span(), what.message(&key)))
}

/// What stands where a path should.
enum What {
    Quoted(String),
    Closure,
    Call,
    Other,
}

impl What {
    fn message(&self, key: &str) -> String {
        let example = if key == "with" { "key" } else { key };
        match self {
            Self::Quoted(path) => {
                format!("expected the path of a function, without quotes: `{key} = {path}`")
            }
            Self::Call => "expected the path of a function, not a call: remove the parentheses".to_owned(),
            Self::Closure if key != "with" => format!(
                "expected the path of a function, as in `{key} = Self::{key}`; \
                 a closure is given to the builder: `oncetask::builder().handler(Handler::new(..))`"
            ),
            Self::Closure | Self::Other => {
                format!("expected the path of a function, as in `{key} = Self::{example}`")
            }
        }
    }
}

fn parse(input: ParseStream) -> std::result::Result<ExprPath, (Error, What)> {
    let here = || input.error("not the path of a function");
    if let Ok(text) = input.fork().parse::<LitStr>() {
        return Err((here(), What::Quoted(text.value())));
    }
    if input.peek(Token![|]) || input.peek(Token![move]) || input.peek(Token![async]) {
        return Err((here(), What::Closure));
    }
    let path: ExprPath = input.parse().map_err(|error| (error, What::Other))?;
    if input.peek(Paren) {
        return Err((here(), What::Call));
    }
    let is_module = |name: &Ident| name == "crate" || name == "self" || name == "super";
    if path.path.get_ident().is_some_and(is_module) {
        return Err((Error::new_spanned(&path, "a module"), What::Other));
    }
    Ok(path)
}
