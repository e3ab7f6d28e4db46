//! The attributes `#[run_at]` and `#[recurrence]`.

use oncetask_recurrence::{Gap, Missed, Overlap};
use proc_macro2::Span;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, ExprPath, Ident, LitStr, Meta, Result, Token, bracketed};

use super::{parse_end, parse_with};
use crate::errors::Errors;
use crate::options::{OptionInput, Options};
use crate::value::{choice, positive};

/// `#[run_at]`
pub(crate) struct RunAtAttr {
    pub(crate) span: Span,
    pub(crate) form: RunAtForm,
}

/// The forms of `#[run_at]`.
pub(crate) enum RunAtForm {
    /// `#[run_at]`
    Marker,
    /// `#[run_at(with = path)]`
    With(ExprPath),
    /// A form that is already reported as an error.
    Invalid,
}

/// `#[recurrence]`
pub(crate) struct RecurrenceAttr {
    pub(crate) span: Span,
    pub(crate) form: RecurrenceForm,
    /// The span of the option `at_start`.
    pub(crate) at_start: Option<Span>,
}

/// The forms of `#[recurrence]`.
pub(crate) enum RecurrenceForm {
    /// `#[recurrence]`
    Marker,
    /// `#[recurrence("..", tz = "..", dtstart = "..", ..)]`
    Rule(Rule),
    /// `#[recurrence(with = path)]`
    With(ExprPath),
    /// A form that is already reported as an error.
    Invalid,
}

/// The rule in `#[recurrence("..", ..)]`, with its options.
#[derive(Clone)]
pub(crate) struct Rule {
    pub(crate) text: LitStr,
    pub(crate) tz: Option<LitStr>,
    pub(crate) dtstart: Option<LitStr>,
    pub(crate) exdates: Vec<LitStr>,
    pub(crate) rdates: Vec<LitStr>,
    pub(crate) missed: Option<Missed>,
    pub(crate) gap: Option<Gap>,
    pub(crate) overlap: Option<Overlap>,
}

pub(super) fn parse_run_at(attr: &Attribute, errors: &mut Errors) -> RunAtAttr {
    let expected = "expected `#[run_at]` on a field, or `#[run_at(with = path)]` on the struct";
    let form = match &attr.meta {
        Meta::Path(_) => Ok(RunAtForm::Marker),
        Meta::NameValue(meta) => Err(Error::new_spanned(meta, expected)),
        Meta::List(list) if list.tokens.is_empty() => Err(Error::new_spanned(list, expected)),
        Meta::List(_) => attr.parse_args_with(|input: ParseStream| {
            let path = parse_with(input, expected)?;
            input.parse::<Option<Token![,]>>()?;
            parse_end(input, expected)?;
            Ok(RunAtForm::With(path))
        }),
    };
    RunAtAttr {
        span: attr.path().span(),
        form: errors.ok(form).unwrap_or(RunAtForm::Invalid),
    }
}

pub(super) fn parse_recurrence(attr: &Attribute, errors: &mut Errors) -> RecurrenceAttr {
    let expected = "expected a rule, such as `#[recurrence(\"FREQ=DAILY;BYHOUR=9\")]`, \
                    or `#[recurrence(with = path)]` on the struct, or `#[recurrence]` on a field";
    let mut at_start = None;
    let form = match &attr.meta {
        Meta::Path(_) => Ok(RecurrenceForm::Marker),
        Meta::NameValue(meta) => Err(Error::new_spanned(meta, expected)),
        Meta::List(list) if list.tokens.is_empty() => Err(Error::new_spanned(list, expected)),
        Meta::List(_) => attr.parse_args_with(|input: ParseStream| {
            if input.peek(LitStr) {
                parse_rule(input, &mut at_start, errors).map(RecurrenceForm::Rule)
            } else {
                let path = parse_with(input, expected)?;
                parse_options(input, &["at_start"], errors, |input| {
                    at_start = Some(input.key().span());
                    input.no_value()
                })?;
                Ok(RecurrenceForm::With(path))
            }
        }),
    };
    RecurrenceAttr {
        span: attr.path().span(),
        form: errors.ok(form).unwrap_or(RecurrenceForm::Invalid),
        at_start,
    }
}

const RULE_OPTIONS: &[&str] = &[
    "tz", "dtstart", "exdates", "rdates", "missed", "gap", "overlap", "at_start",
];

fn parse_rule(input: ParseStream, at_start: &mut Option<Span>, errors: &mut Errors) -> Result<Rule> {
    let mut rule = Rule {
        text: input.parse()?,
        tz: None,
        dtstart: None,
        exdates: Vec::new(),
        rdates: Vec::new(),
        missed: None,
        gap: None,
        overlap: None,
    };
    parse_options(input, RULE_OPTIONS, errors, |input| {
        match input.key().to_string().as_str() {
            "tz" => rule.tz = Some(input.text("Europe/Paris")?),
            "dtstart" => rule.dtstart = Some(input.text("2026-01-05T09:00:00")?),
            "exdates" => rule.exdates = parse_dates(&input)?,
            "rdates" => rule.rdates = parse_dates(&input)?,
            "missed" => rule.missed = Some(input.value_with(parse_missed)?),
            "gap" => rule.gap = Some(choice(&input, &[("skip", Gap::Skip), ("shift", Gap::Shift)])?),
            "overlap" => {
                let words = [("first", Overlap::First), ("both", Overlap::Both)];
                rule.overlap = Some(choice(&input, &words)?);
            }
            "at_start" => {
                *at_start = Some(input.key().span());
                input.no_value()?;
            }
            key => unreachable!("`{key}` is not in `RULE_OPTIONS`"),
        }
        Ok(())
    })?;
    Ok(rule)
}

/// Parses the options after the first argument.
fn parse_options(
    input: ParseStream,
    keys: &'static [&'static str],
    errors: &mut Errors,
    option: impl FnMut(OptionInput<'_>) -> Result<()>,
) -> Result<()> {
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Options::new(keys, errors).parse(input, option);
    Ok(())
}

/// Parses a list such as `["2026-12-25T02:00:00"]`.
fn parse_dates(input: &OptionInput<'_>) -> Result<Vec<LitStr>> {
    let expected = "expected a list of local times, such as `[\"2026-12-25T09:00:00\"]`";
    let dates = input.value_with(|stream| {
        let list = |stream: ParseStream| {
            let items;
            bracketed!(items in stream);
            Punctuated::<LitStr, Token![,]>::parse_terminated(&items)
        };
        Ok(list(stream).map_err(|error| error.span()))
    })?;
    let dates = dates.map_err(|span| Error::new(span, expected))?;
    Ok(dates.into_iter().collect())
}

/// Parses `one`, `all(max = N)` or `skip`.
fn parse_missed(input: ParseStream) -> Result<Missed> {
    let expected = "expected `one`, `all(max = N)` or `skip`";
    let word: Ident = input
        .parse()
        .map_err(|error| Error::new(error.span(), expected))?;
    match word.to_string().as_str() {
        "one" => Ok(Missed::One),
        "skip" => Ok(Missed::Skip),
        "all" => parse_all(&word, input),
        _ => Err(Error::new_spanned(&word, expected)),
    }
}

/// Parses the arguments of `all(max = N)`.
fn parse_all(word: &Ident, input: ParseStream) -> Result<Missed> {
    let mut errors = Errors::default();
    let mut max = None;
    let mut options = Options::new(&["max"], &mut errors);
    options.parse_arguments(input, |input| {
        max = Some(input.value_with(positive)?);
        Ok(())
    })?;
    if !options.mentions("max") && errors.is_empty() {
        let message =
            "`all` needs a limit, because many occurrences may have been missed; write `all(max = 100)`";
        errors.at(word, message);
    }
    errors.finish(max.map(|max| Missed::All { max }))
}
