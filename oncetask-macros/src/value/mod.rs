//! The values of options.

mod count;
mod duration;
mod function;
mod retry;
mod units;

use syn::parse::ParseStream;
use syn::{Error, Expr, Ident, Result};

pub(crate) use self::count::{Count, positive};
pub(crate) use self::duration::DurationValue;
pub(crate) use self::function::function;
pub(crate) use self::retry::{Attempts, Policy, Retry};
pub(crate) use self::units::show;
use crate::options::OptionInput;
use crate::suggest::list;

/// Parses one of these words, and returns its meaning.
pub(crate) fn choice<T: Copy>(input: &OptionInput<'_>, words: &[(&'static str, T)]) -> Result<T> {
    let names = words.iter().map(|(word, _)| *word);
    let expected = format!("expected {}", list(names, "or"));
    let word = input.value_with(|stream| Ok(stream.parse::<Ident>().map_err(|error| error.span())))?;
    let word = word.map_err(|span| Error::new(span, &expected))?;
    let found = words.iter().find(|(name, _)| word == *name);
    found
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| Error::new_spanned(&word, expected))
}

/// Parses an expression that a constant may contain.
fn expression(input: ParseStream, expected: &str) -> Result<Expr> {
    let start = input.span();
    let error = || Error::new(start, expected);
    // The errors of the parser describe its grammar, which does not help here.
    let expr: Expr = input.parse().map_err(|_| error())?;
    // A constant does not begin with a lower-case letter, so this is a misplaced word of an option.
    let is_word = |name: &Ident| name.to_string().starts_with(char::is_lowercase);
    match &expr {
        Expr::Path(path) if path.path.get_ident().is_some_and(is_word) => Err(error()),
        _ => Ok(expr),
    }
}
