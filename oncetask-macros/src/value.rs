//! The values of options: durations, counts and retry policies.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::token::Paren;
use syn::{Error, Expr, ExprLit, ExprPath, Ident, Lit, LitInt, Path, Result, parenthesized};

use crate::attr::{Input, Options};
use crate::errors::Errors;
use crate::suggest::did_you_mean;

/// `"1m30s"`, or a constant the compiler evaluates.
pub(crate) enum DurationValue {
    Literal(Duration, Span),
    Constant(Expr),
}

impl DurationValue {
    /// The duration and where it is written, if it is known yet.
    pub(crate) fn literal(&self) -> Option<(Duration, Span)> {
        match self {
            Self::Literal(duration, span) => Some((*duration, *span)),
            Self::Constant(_) => None,
        }
    }
}

impl Parse for DurationValue {
    fn parse(input: ParseStream) -> Result<Self> {
        let expr: Expr = input.parse()?;
        let Expr::Lit(ExprLit { lit, .. }) = &expr else {
            return Ok(Self::Constant(expr));
        };
        let Lit::Str(text) = lit else {
            return Err(Error::new_spanned(
                lit,
                "a duration is a string with its unit, such as `\"15m\"`",
            ));
        };
        match parse_duration(&text.value()) {
            Ok(duration) => Ok(Self::Literal(duration, text.span())),
            Err(reason) => Err(Error::new_spanned(
                text,
                format!("not a duration: {reason}; write it like `\"90s\"` or `\"1h30m\"`"),
            )),
        }
    }
}

impl ToTokens for DurationValue {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Literal(duration, _) => {
                let (secs, nanos) = (duration.as_secs(), duration.subsec_nanos());
                quote!(::core::time::Duration::new(#secs, #nanos)).to_tokens(tokens);
            }
            Self::Constant(expr) => expr.to_tokens(tokens),
        }
    }
}

/// The units of a duration, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

fn parse_duration(text: &str) -> std::result::Result<Duration, String> {
    let mut total = Some(Duration::ZERO);
    let mut rest = text;
    if rest.is_empty() {
        return Err("it is empty".to_owned());
    }
    while !rest.is_empty() {
        let (number, after) = split_while(rest, |c| c.is_ascii_digit());
        let (unit, after) = split_while(after, char::is_alphabetic);
        if number.is_empty() {
            return Err(format!("expected a number before `{rest}`"));
        }
        if unit.is_empty() {
            return Err(format!("`{number}` has no unit"));
        }
        let Some((_, millis)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!(
                "`{unit}` is none of the units `d`, `h`, `m`, `s` and `ms`"
            ));
        };
        let part = number
            .parse()
            .ok()
            .and_then(|number: u64| number.checked_mul(*millis));
        total = total
            .zip(part)
            .and_then(|(total, part)| total.checked_add(Duration::from_millis(part)));
        rest = after;
    }
    total.ok_or_else(|| "it is too long".to_owned())
}

fn split_while(text: &str, keep: fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !keep(c)).unwrap_or(text.len()))
}

/// A duration as an attribute would write it.
pub(crate) fn show(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let parts = UNITS.map(|(unit, millis)| {
        let count = rest / millis;
        rest %= millis;
        if count == 0 {
            String::new()
        } else {
            format!("{count}{unit}")
        }
    });
    let text = parts.concat();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A whole number from 1, or a constant the compiler evaluates.
pub(crate) enum Count {
    Literal(u32),
    Constant(Expr),
}

impl Parse for Count {
    fn parse(input: ParseStream) -> Result<Self> {
        let expected = "expected a whole number from 1";
        let expr: Expr = input.parse()?;
        match &expr {
            Expr::Lit(ExprLit {
                lit: Lit::Int(int), ..
            }) => match int.base10_parse() {
                Ok(0) => Err(Error::new_spanned(int, expected)),
                Ok(count) => Ok(Self::Literal(count)),
                Err(error) => Err(error),
            },
            Expr::Lit(_) | Expr::Unary(_) => Err(Error::new_spanned(&expr, expected)),
            _ => Ok(Self::Constant(expr)),
        }
    }
}

impl ToTokens for Count {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Literal(count) => count.to_tokens(tokens),
            Self::Constant(expr) => expr.to_tokens(tokens),
        }
    }
}

/// `exponential(..)`, `fixed(..)`, `never`, or the path of a constant.
pub(crate) enum Retry {
    Never,
    Fixed {
        attempts: Option<Attempts>,
        delay: DurationValue,
    },
    Exponential {
        attempts: Option<Attempts>,
        base: Option<DurationValue>,
        max: Option<DurationValue>,
        factor: Option<f64>,
    },
    Constant(Path),
}

/// `5`, or `unlimited`
pub(crate) enum Attempts {
    AtMost(Count),
    Unlimited,
}

impl Parse for Retry {
    fn parse(input: ParseStream) -> Result<Self> {
        let expected = "expected `exponential(..)`, `fixed(..)`, `never` or the path of a constant `Retry`";
        let path = input
            .parse::<ExprPath>()
            .map_err(|error| Error::new(error.span(), expected))?
            .path;
        let Some(name) = path.get_ident() else {
            return Ok(Self::Constant(path));
        };
        match name.to_string().as_str() {
            "never" => Ok(Self::Never),
            "fixed" => Self::parse_fixed(name, input),
            "exponential" => Self::parse_exponential(name, input),
            constant if constant.starts_with(|c: char| c.is_uppercase()) => Ok(Self::Constant(path)),
            wrong => {
                let hint = match did_you_mean(wrong, ["exponential", "fixed", "never"]) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => expected.to_owned(),
                };
                Err(Error::new_spanned(
                    name,
                    format!("there is no retry policy `{wrong}`; {hint}"),
                ))
            }
        }
    }
}

impl Retry {
    fn parse_fixed(name: &Ident, input: ParseStream) -> Result<Self> {
        let (mut attempts, mut delay) = (None, None);
        let mut errors = Errors::default();
        let mut options = Options::new(&["max_attempts", "delay"], &mut errors);
        arguments(&mut options, input, |key, input| {
            match key.to_string().as_str() {
                "max_attempts" => attempts = Some(input.value()?),
                _ => delay = Some(input.value()?),
            }
            Ok(())
        })?;
        if !options.mentions("delay") {
            errors.at(name, "`fixed` needs a delay: `fixed(delay = \"5s\")`");
        }
        errors.finish(delay.map(|delay| Self::Fixed { attempts, delay }))
    }

    fn parse_exponential(name: &Ident, input: ParseStream) -> Result<Self> {
        let (mut attempts, mut base, mut max, mut factor) = (None, None, None, None);
        let mut errors = Errors::default();
        let mut options = Options::new(&["max_attempts", "base", "max", "factor"], &mut errors);
        arguments(&mut options, input, |key, input| {
            match key.to_string().as_str() {
                "max_attempts" => attempts = Some(input.value()?),
                "base" => base = Some(input.value()?),
                "max" => max = Some(input.value()?),
                _ => factor = Some(input.value_with(parse_factor)?),
            }
            Ok(())
        })?;
        // The defaults of `oncetask::Retry::exponential`.
        let shortest = base.as_ref().map_or(
            Some((Duration::from_secs(1), name.span())),
            DurationValue::literal,
        );
        let longest = max.as_ref().map_or(
            Some((Duration::from_secs(300), name.span())),
            DurationValue::literal,
        );
        if let (Some((shortest, at)), Some((longest, _))) = (shortest, longest)
            && shortest > longest
        {
            let (shortest, longest) = (show(shortest), show(longest));
            errors.push(Error::new(
                at,
                format!("`base` ({shortest}) is longer than `max` ({longest})"),
            ));
        }
        errors.finish(Some(Self::Exponential {
            attempts,
            base,
            max,
            factor,
        }))
    }

    pub(crate) fn expand(&self, krate: &Path) -> TokenStream {
        let retry = quote!(#krate::Retry);
        match self {
            Self::Never => quote!(#retry::never()),
            Self::Constant(path) => path.to_token_stream(),
            Self::Fixed { attempts, delay } => {
                let attempts = attempts.iter();
                quote!(#retry::fixed(#delay) #(#attempts)*)
            }
            Self::Exponential {
                attempts,
                base,
                max,
                factor,
            } => {
                let (attempts, base, max, factor) = (attempts.iter(), base.iter(), max.iter(), factor.iter());
                quote!(#retry::exponential() #(#attempts)* #(.base(#base))* #(.max(#max))* #(.factor(#factor))*)
            }
        }
    }
}

/// Parses the arguments of a retry policy, which may have none.
fn arguments(
    options: &mut Options<'_>,
    input: ParseStream,
    option: impl FnMut(&Ident, Input<'_>) -> Result<()>,
) -> Result<()> {
    if input.peek(Paren) {
        let arguments;
        parenthesized!(arguments in input);
        options.parse(&arguments, option);
    }
    Ok(())
}

impl Parse for Attempts {
    fn parse(input: ParseStream) -> Result<Self> {
        if input.peek(Ident::peek_any)
            && input
                .fork()
                .parse::<Ident>()
                .is_ok_and(|ident| ident == "unlimited")
        {
            input.parse::<Ident>()?;
            return Ok(Self::Unlimited);
        }
        if input
            .fork()
            .parse::<LitInt>()
            .is_ok_and(|int| int.base10_digits() == "0")
        {
            return Err(Error::new(
                input.parse::<LitInt>()?.span(),
                "the first attempt counts, so `max_attempts` is at least 1; to retry for ever, write `unlimited`",
            ));
        }
        input.parse().map(Self::AtMost)
    }
}

impl ToTokens for Attempts {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::AtMost(count) => quote!(.max_attempts(#count)).to_tokens(tokens),
            Self::Unlimited => quote!(.unlimited()).to_tokens(tokens),
        }
    }
}

fn parse_factor(input: ParseStream) -> Result<f64> {
    let lit: Lit = input.parse()?;
    let factor = match &lit {
        Lit::Float(float) => float.base10_parse()?,
        Lit::Int(int) => int.base10_parse()?,
        _ => 0.0,
    };
    if factor < 1.0 {
        return Err(Error::new(
            lit.span(),
            "expected a number from 1: a smaller factor would make the delays shrink",
        ));
    }
    Ok(factor)
}
