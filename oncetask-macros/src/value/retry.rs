//! Retry policies.

use std::time::Duration;

use oncetask_recurrence::limits::{RETRY_BASE, RETRY_MAX};
use proc_macro2::Span;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::token::Paren;
use syn::{Error, ExprPath, Ident, Lit, LitInt, Result};

use super::{Count, DurationValue, choice, show};
use crate::errors::Errors;
use crate::options::{OptionInput, Options};
use crate::suggest::did_you_mean;

/// A retry policy: `exponential(..)`, `fixed(..)`, `never`, or the path of a constant.
pub(crate) enum Retry {
    Never(Span),
    Constant(ExprPath),
    Policy(Box<Policy>),
}

/// The options of `exponential(..)` and `fixed(..)`.
pub(crate) struct Policy {
    pub(crate) span: Span,
    pub(crate) attempts: Option<Attempts>,
    /// An option of `fixed` only.
    pub(crate) delay: Option<DurationValue>,
    /// An option of `exponential` only, as are `max` and `factor`.
    pub(crate) base: Option<DurationValue>,
    pub(crate) max: Option<DurationValue>,
    pub(crate) factor: Option<f64>,
    pub(crate) full_jitter: bool,
}

/// The number of attempts: `5`, or `unlimited`.
pub(crate) enum Attempts {
    AtMost(Count),
    Unlimited,
}

const EXPECTED: &str = "expected `exponential(..)`, `fixed(..)`, `never` or the path of a constant `Retry`";

impl Parse for Retry {
    fn parse(input: ParseStream) -> Result<Self> {
        let path: ExprPath = input
            .parse()
            .map_err(|error| Error::new(error.span(), EXPECTED))?;
        let Some(name) = path.path.get_ident() else {
            return Ok(Self::Constant(path));
        };
        match name.to_string().as_str() {
            "never" if input.peek(Paren) => {
                Err(input.error("`never` takes no arguments; write `never` alone"))
            }
            "never" => Ok(Self::Never(name.span())),
            "fixed" => fixed(name, input).map(|policy| Self::Policy(Box::new(policy))),
            "exponential" => exponential(name, input).map(|policy| Self::Policy(Box::new(policy))),
            constant if constant.starts_with(|c: char| c.is_uppercase() || c == '_') => {
                Ok(Self::Constant(path))
            }
            wrong => {
                let hint = match did_you_mean(wrong, ["exponential", "fixed", "never"]) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => EXPECTED.to_owned(),
                };
                Err(Error::new_spanned(
                    name,
                    format!("there is no retry policy `{wrong}`; {hint}"),
                ))
            }
        }
    }
}

fn fixed(name: &Ident, input: ParseStream) -> Result<Policy> {
    let mut policy = Policy::new(name);
    let mut errors = Errors::default();
    let mut options = Options::new(&["max_attempts", "delay", "jitter"], &mut errors);
    options.parse_arguments(input, |input| policy.option(&input))?;
    if !options.mentions("delay") && errors.is_empty() {
        errors.at(name, "`fixed` needs a delay; write `fixed(delay = \"5s\")`");
    }
    errors.finish(Some(policy))
}

fn exponential(name: &Ident, input: ParseStream) -> Result<Policy> {
    let mut policy = Policy::new(name);
    let mut errors = Errors::default();
    let keys = &["max_attempts", "base", "max", "factor", "jitter"];
    let mut options = Options::new(keys, &mut errors);
    options.parse_arguments(input, |input| policy.option(&input))?;
    let known = |value: &Option<DurationValue>, default| match value {
        Some(value) => value.literal(),
        None => Some((default, name.span())),
    };
    let base = known(&policy.base, RETRY_BASE);
    let max = known(&policy.max, RETRY_MAX);
    if let Some((Duration::ZERO, span)) = base {
        let message =
            "a `base` of 0s makes every delay 0s; to retry without a delay, write `fixed(delay = \"0s\")`";
        errors.at_span(span, message);
    }
    if let (Some((base, span)), Some((max, _))) = (base, max)
        && base > max
    {
        let (base, max) = (show(base), show(max));
        errors.at_span(
            span,
            format!("`base` ({base}) is longer than `max` ({max}); change one of them"),
        );
    }
    errors.finish(Some(policy))
}

impl Policy {
    fn new(name: &Ident) -> Self {
        Self {
            span: name.span(),
            attempts: None,
            delay: None,
            base: None,
            max: None,
            factor: None,
            full_jitter: false,
        }
    }

    fn option(&mut self, input: &OptionInput<'_>) -> Result<()> {
        match input.key().to_string().as_str() {
            "max_attempts" => self.attempts = Some(input.value()?),
            "delay" => self.delay = Some(input.value()?),
            "base" => self.base = Some(input.value()?),
            "max" => self.max = Some(input.value()?),
            "factor" => self.factor = Some(input.value_with(factor)?),
            "jitter" => self.full_jitter = choice(input, &[("full", true), ("none", false)])?,
            key => unreachable!("`{key}` is not an option of a retry policy"),
        }
        Ok(())
    }
}

impl Retry {
    /// Returns the span of the policy's name.
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Never(span) => *span,
            Self::Constant(path) => path.span(),
            Self::Policy(policy) => policy.span,
        }
    }
}

impl Parse for Attempts {
    fn parse(input: ParseStream) -> Result<Self> {
        let word = input.fork().call(Ident::parse_any);
        if word.is_ok_and(|word| word == "unlimited") {
            input.call(Ident::parse_any)?;
            return Ok(Self::Unlimited);
        }
        let int = input.fork().parse::<LitInt>();
        if int.is_ok_and(|int| int.base10_digits() == "0") {
            let zero: LitInt = input.parse()?;
            let message = "`max_attempts` counts the first attempt, so it must be at least 1; \
                           to retry without a limit, write `unlimited`";
            return Err(Error::new_spanned(zero, message));
        }
        input.parse().map(Self::AtMost)
    }
}

/// Parses a factor of at least 1.
fn factor(input: ParseStream) -> Result<f64> {
    let expected = "expected a number of at least 1, such as `2` or `1.5`";
    let lit: Lit = input
        .parse()
        .map_err(|error| Error::new(error.span(), expected))?;
    let factor = match &lit {
        Lit::Float(float) => float.base10_parse().unwrap_or(f64::NAN),
        Lit::Int(int) => int.base10_parse().unwrap_or(f64::NAN),
        _ => f64::NAN,
    };
    if factor >= 1.0 && factor.is_finite() {
        Ok(factor)
    } else {
        let message = if factor < 1.0 {
            "`factor` must be at least 1, because a smaller factor shortens the delays"
        } else {
            expected
        };
        Err(Error::new_spanned(lit, message))
    }
}
