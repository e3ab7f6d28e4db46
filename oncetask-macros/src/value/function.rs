use syn::parse::ParseStream;
use syn::token::Paren;
use syn::{Error, ExprPath, LitStr, Result, Token};

use crate::options::Input;

/// The path of a function, `key = path`.
pub(crate) fn function(input: &Input<'_>) -> Result<ExprPath> {
    let key = input.key();
    let path = input.value_with(|stream| Ok(parse(stream)))?;
    path.map_err(|Wrong { error, what }| {
        let message = match what {
            What::Quoted(path) => {
                format!("expected the path of a function, without quotes: `{key} = {path}`")
            }
            What::Closure => format!(
                "expected the path of a function, as in `{key} = Self::{key}`; \
                 a closure is given to the builder: `oncetask::builder().handler(Handler::new(..))`"
            ),
            What::Call => "expected the path of a function, not a call: remove the parentheses".to_owned(),
            What::Other => format!("expected the path of a function, as in `{key} = Self::{key}`"),
        };
        Error::new(error.span(), message)
    })
}

struct Wrong {
    error: Error,
    what: What,
}

enum What {
    Quoted(String),
    Closure,
    Call,
    Other,
}

fn parse(input: ParseStream) -> std::result::Result<ExprPath, Wrong> {
    let wrong = |what| Wrong {
        error: input.error(""),
        what,
    };
    if let Ok(text) = input.fork().parse::<LitStr>() {
        return Err(wrong(What::Quoted(text.value())));
    }
    if input.peek(Token![|]) || input.peek(Token![move]) || input.peek(Token![async]) {
        return Err(wrong(What::Closure));
    }
    let path = input.parse().map_err(|error| Wrong {
        error,
        what: What::Other,
    })?;
    if input.peek(Paren) {
        return Err(wrong(What::Call));
    }
    Ok(path)
}
