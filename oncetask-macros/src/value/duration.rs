//! Durations.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, ExprLit, Lit, Result};

use super::expression;
use super::units::parse;

/// A duration such as `"1m30s"`, or a constant that the compiler evaluates.
pub(crate) enum DurationValue {
    Literal(Duration, Span),
    Constant(Expr),
}

impl DurationValue {
    /// Returns the duration and its span; `None` for a constant, whose value is not known yet.
    pub(crate) fn literal(&self) -> Option<(Duration, Span)> {
        match self {
            Self::Literal(duration, span) => Some((*duration, *span)),
            Self::Constant(_) => None,
        }
    }
}

impl Parse for DurationValue {
    fn parse(input: ParseStream) -> Result<Self> {
        let expected = "expected a duration with a unit, such as `\"15m\"`, or a constant `Duration`";
        let expr = expression(input, expected)?;
        match &expr {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => match parse(&text.value()) {
                Ok(duration) => Ok(Self::Literal(duration, text.span())),
                Err(reason) => Err(Error::new_spanned(text, format!("invalid duration: {reason}"))),
            },
            Expr::Lit(_) | Expr::Unary(_) => Err(Error::new_spanned(expr, expected)),
            _ => Ok(Self::Constant(expr)),
        }
    }
}

impl ToTokens for DurationValue {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Literal(duration, span) => {
                let (secs, nanos) = (duration.as_secs(), duration.subsec_nanos());
                tokens.extend(quote_spanned!(*span=> ::core::time::Duration::new(#secs, #nanos)));
            }
            Self::Constant(expr) => expr.to_tokens(tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::value::units::{parse, show};

    #[test]
    fn a_shown_duration_has_the_syntax_of_an_attribute() {
        for text in ["90ms", "1s", "15m", "1h30m", "2d3h4m5s6ms", "0s"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(parse("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(show(Duration::from_secs(90)), "1m30s");
    }

    #[test]
    fn an_invalid_duration_is_an_error() {
        for text in [
            "",
            "15",
            "m",
            "1.5h",
            "1h 30m",
            "15M",
            "1µs",
            "-1s",
            "366d",
            "99999999999999999999s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
