use std::time::Duration;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{Error, ExprPath, Ident, Lit, LitInt, Path, Result};

use super::{Count, DurationValue, choice, show};
use crate::errors::Errors;
use crate::options::{Input, Options};
use crate::suggest::did_you_mean;

/// `exponential(..)`, `fixed(..)`, `never`, or the path of a constant.
pub(crate) enum Retry {
    Never,
    Constant(ExprPath),
    Policy(Policy),
}

#[derive(Default)]
pub(crate) struct Policy {
    attempts: Option<Attempts>,
    /// Of `fixed`; the others are of `exponential`.
    delay: Option<DurationValue>,
    base: Option<DurationValue>,
    max: Option<DurationValue>,
    factor: Option<f64>,
    full_jitter: bool,
}

/// `5`, or `unlimited`
enum Attempts {
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
            "never" => Ok(Self::Never),
            "fixed" => fixed(name, input).map(Self::Policy),
            "exponential" => exponential(name, input).map(Self::Policy),
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
    let mut policy = Policy::default();
    let mut errors = Errors::default();
    let mut options = Options::new(&["max_attempts", "delay", "jitter"], &mut errors);
    options.parse_arguments(input, |input| policy.option(&input))?;
    if !options.mentions("delay") {
        errors.at(name, "`fixed` needs a delay: `fixed(delay = \"5s\")`");
    }
    errors.finish(Some(policy))
}

fn exponential(name: &Ident, input: ParseStream) -> Result<Policy> {
    let mut policy = Policy::default();
    let mut errors = Errors::default();
    let keys = &["max_attempts", "base", "max", "factor", "jitter"];
    let mut options = Options::new(keys, &mut errors);
    options.parse_arguments(input, |input| policy.option(&input))?;
    let written = |value: &Option<DurationValue>, default| match value {
        Some(value) => value.literal(),
        None => Some((default, name.span())),
    };
    // The defaults of `oncetask::Retry::exponential`.
    let base = written(&policy.base, Duration::from_secs(1));
    let max = written(&policy.max, Duration::from_secs(5 * 60));
    if let Some((Duration::ZERO, at)) = base {
        let message = "a delay of 0s stays 0s however often it doubles; to retry at once, write `fixed(delay = \"0s\")`";
        errors.at_span(at, message);
    }
    if let (Some((base, at)), Some((max, _))) = (base, max)
        && base > max
    {
        let (base, max) = (show(base), show(max));
        errors.at_span(at, format!("`base` ({base}) is longer than `max` ({max})"));
    }
    errors.finish(Some(policy))
}

impl Policy {
    fn option(&mut self, input: &Input<'_>) -> Result<()> {
        match input.key().to_string().as_str() {
            "max_attempts" => self.attempts = Some(input.value()?),
            "delay" => self.delay = Some(input.value()?),
            "base" => self.base = Some(input.value()?),
            "max" => self.max = Some(input.value()?),
            "factor" => self.factor = Some(input.value_with(factor)?),
            _ => self.full_jitter = choice(input, &[("full", true), ("none", false)])?,
        }
        Ok(())
    }

    fn expand(&self, krate: &Path) -> TokenStream {
        let start = match &self.delay {
            Some(delay) => quote!(fixed(#delay)),
            None => quote!(exponential()),
        };
        let attempts = self.attempts.iter();
        let (base, max, factor) = (self.base.iter(), self.max.iter(), self.factor.iter());
        let jitter = self.full_jitter.then(|| quote!(.full_jitter()));
        quote! {
            #krate::__private::Retry::#start
                #(#attempts)* #(.base(#base))* #(.max(#max))* #(.factor(#factor))* #jitter
        }
    }
}

impl Retry {
    pub(crate) fn expand(&self, krate: &Path) -> TokenStream {
        match self {
            Self::Never => quote!(#krate::__private::Retry::never()),
            Self::Constant(path) => path.to_token_stream(),
            Self::Policy(policy) => policy.expand(krate),
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
            let message = "the first attempt counts, so `max_attempts` is at least 1; \
                           to retry for ever, write `unlimited`";
            return Err(Error::new_spanned(zero, message));
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

fn factor(input: ParseStream) -> Result<f64> {
    let expected = "expected a number from 1: a smaller factor would make the delays shrink";
    let lit: Lit = input
        .parse()
        .map_err(|error| Error::new(error.span(), "expected a number from 1, such as `2` or `1.5`"))?;
    let factor = match &lit {
        Lit::Float(float) => float.base10_parse().unwrap_or(f64::NAN),
        Lit::Int(int) => int.base10_parse().unwrap_or(f64::NAN),
        _ => f64::NAN,
    };
    if factor >= 1.0 && factor.is_finite() {
        Ok(factor)
    } else {
        Err(Error::new_spanned(lit, expected))
    }
}
