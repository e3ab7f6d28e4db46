//! The attributes, one by one, before anything is known of the type they are on.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, ExprPath, Ident, LitStr, Meta, Path, Result, Token, bracketed};

use crate::errors::Errors;
use crate::suggest::{did_you_mean, list};
use crate::value::{Count, DurationValue, Retry};

/// The attributes of the derive, as found on a struct or on a field.
#[derive(Default)]
pub(crate) struct Attrs {
    pub(crate) task: Option<TaskAttr>,
    pub(crate) id: Option<KeyAttr>,
    pub(crate) resource_key: Option<KeyAttr>,
    pub(crate) run_at: Option<RunAtAttr>,
    pub(crate) recurrence: Option<RecurrenceAttr>,
    pub(crate) handler: Option<HandlerAttr>,
}

/// `#[task(kind = "..", crate = path)]`
pub(crate) struct TaskAttr {
    pub(crate) span: Span,
    pub(crate) kind: Option<LitStr>,
    pub(crate) krate: Option<Path>,
}

/// `#[id]` and `#[resource_key]`
pub(crate) struct KeyAttr {
    pub(crate) span: Span,
    pub(crate) form: KeyForm,
}

pub(crate) enum KeyForm {
    /// `#[id]`
    Marker,
    /// `#[id("..")]`
    Template(LitStr),
    /// `#[id(hash)]`
    Hash,
    /// `#[id(content)]`
    Content,
    /// `#[id(with = path)]`
    With(ExprPath),
    /// Nothing of the above; reported.
    Invalid,
}

/// `#[run_at]`
pub(crate) struct RunAtAttr {
    pub(crate) span: Span,
    pub(crate) form: RunAtForm,
}

pub(crate) enum RunAtForm {
    /// `#[run_at]`
    Marker,
    /// `#[run_at(with = path)]`
    With(ExprPath),
    /// Nothing of the above; reported.
    Invalid,
}

/// `#[recurrence]`
pub(crate) struct RecurrenceAttr {
    pub(crate) span: Span,
    pub(crate) form: RecurrenceForm,
}

pub(crate) enum RecurrenceForm {
    /// `#[recurrence]`
    Marker,
    /// `#[recurrence("..", tz = "..", dtstart = "..", exdates = [..])]`
    Rule(Rule),
    /// `#[recurrence(with = path)]`
    With(ExprPath),
    /// Nothing of the above; reported.
    Invalid,
}

#[derive(Clone)]
pub(crate) struct Rule {
    pub(crate) text: LitStr,
    pub(crate) tz: Option<LitStr>,
    pub(crate) dtstart: Option<LitStr>,
    pub(crate) exdates: Vec<LitStr>,
}

/// `#[handler]`
pub(crate) struct HandlerAttr {
    pub(crate) span: Span,
    pub(crate) run: Option<ExprPath>,
    pub(crate) cancel: Option<CancelForm>,
    pub(crate) retry: Option<Retry>,
    pub(crate) cancel_retry: Option<(Ident, Retry)>,
    pub(crate) lease: Option<DurationValue>,
    pub(crate) concurrency: Option<Count>,
}

pub(crate) enum CancelForm {
    /// `cancel`
    Method(Span),
    /// `cancel = path`
    Path(ExprPath),
    /// Nothing of the above; reported.
    Invalid,
}

impl Attrs {
    pub(crate) fn parse(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut this = Self::default();
        for attr in attrs {
            let Some(name) = attr.path().get_ident() else {
                continue;
            };
            match name.to_string().as_str() {
                "task" => once(&mut this.task, attr, errors, parse_task),
                "id" => once(&mut this.id, attr, errors, parse_id),
                "resource_key" => once(&mut this.resource_key, attr, errors, parse_resource_key),
                "run_at" => once(&mut this.run_at, attr, errors, parse_run_at),
                "recurrence" => once(&mut this.recurrence, attr, errors, parse_recurrence),
                "handler" => once(&mut this.handler, attr, errors, parse_handler),
                _ => {}
            }
        }
        this
    }
}

fn once<T>(
    slot: &mut Option<T>,
    attr: &Attribute,
    errors: &mut Errors,
    parse: fn(&Attribute, &mut Errors) -> T,
) {
    if slot.is_some() {
        errors.at(
            attr,
            format!("`#[{}]` is given twice", attr.path().to_token_stream()),
        );
    } else {
        *slot = Some(parse(attr, errors));
    }
}

fn parse_task(attr: &Attribute, errors: &mut Errors) -> TaskAttr {
    let mut task = TaskAttr {
        span: attr.path().span(),
        kind: None,
        krate: None,
    };
    Options::new(&["kind", "crate"], errors).parse_attr(attr, |key, input| {
        match key.to_string().as_str() {
            "kind" => task.kind = Some(input.value()?),
            _ => task.krate = Some(input.value()?),
        }
        Ok(())
    });
    task
}

fn parse_id(attr: &Attribute, errors: &mut Errors) -> KeyAttr {
    parse_key(
        attr,
        errors,
        "expected `#[id(\"..\")]`, `#[id(content)]` or `#[id(with = path)]` on the struct, or `#[id]` or `#[id(hash)]` on a field",
    )
}

fn parse_resource_key(attr: &Attribute, errors: &mut Errors) -> KeyAttr {
    parse_key(
        attr,
        errors,
        "expected `#[resource_key(\"..\")]` or `#[resource_key(with = path)]` on the struct, or `#[resource_key]` on a field",
    )
}

fn parse_key(attr: &Attribute, errors: &mut Errors, expected: &str) -> KeyAttr {
    let form = match &attr.meta {
        Meta::Path(_) => Ok(KeyForm::Marker),
        Meta::NameValue(meta) => Err(Error::new_spanned(meta, expected)),
        Meta::List(_) => attr.parse_args_with(|input: ParseStream| {
            if input.peek(LitStr) {
                let template = input.parse()?;
                input.parse::<Option<Token![,]>>()?;
                return Ok(KeyForm::Template(template));
            }
            let key: Ident = input
                .parse()
                .map_err(|error| Error::new(error.span(), expected))?;
            match key.to_string().as_str() {
                "hash" => Ok(KeyForm::Hash),
                "content" if attr.path().is_ident("id") => Ok(KeyForm::Content),
                "with" => Input {
                    stream: input,
                    key: &key,
                }
                .value()
                .map(KeyForm::With),
                _ => Err(Error::new_spanned(key, expected)),
            }
        }),
    };
    KeyAttr {
        span: attr.path().span(),
        form: errors.ok(form).unwrap_or(KeyForm::Invalid),
    }
}

fn parse_run_at(attr: &Attribute, errors: &mut Errors) -> RunAtAttr {
    let expected = "expected `#[run_at]` on a field, or `#[run_at(with = path)]` on the struct";
    let form = match &attr.meta {
        Meta::Path(_) => Ok(RunAtForm::Marker),
        Meta::NameValue(meta) => Err(Error::new_spanned(meta, expected)),
        Meta::List(_) => attr
            .parse_args_with(|input: ParseStream| parse_with(input, expected))
            .map(RunAtForm::With),
    };
    RunAtAttr {
        span: attr.path().span(),
        form: errors.ok(form).unwrap_or(RunAtForm::Invalid),
    }
}

fn parse_recurrence(attr: &Attribute, errors: &mut Errors) -> RecurrenceAttr {
    let expected = "expected a rule, such as `#[recurrence(\"FREQ=DAILY;BYHOUR=9\")]`; \
                    or `#[recurrence]` on a field, or `#[recurrence(with = path)]`";
    let form = match &attr.meta {
        Meta::Path(_) => Ok(RecurrenceForm::Marker),
        Meta::NameValue(meta) => Err(Error::new_spanned(meta, expected)),
        Meta::List(_) => attr.parse_args_with(|input: ParseStream| {
            if input.peek(LitStr) {
                parse_rule(input, errors).map(RecurrenceForm::Rule)
            } else {
                parse_with(input, expected).map(RecurrenceForm::With)
            }
        }),
    };
    RecurrenceAttr {
        span: attr.path().span(),
        form: errors.ok(form).unwrap_or(RecurrenceForm::Invalid),
    }
}

fn parse_rule(input: ParseStream, errors: &mut Errors) -> Result<Rule> {
    let mut rule = Rule {
        text: input.parse()?,
        tz: None,
        dtstart: None,
        exdates: Vec::new(),
    };
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Options::new(&["tz", "dtstart", "exdates"], errors).parse(input, |key, input| {
        match key.to_string().as_str() {
            "tz" => rule.tz = Some(input.value()?),
            "dtstart" => rule.dtstart = Some(input.value()?),
            _ => rule.exdates = input.value_with(parse_list)?,
        }
        Ok(())
    });
    Ok(rule)
}

fn parse_list(input: ParseStream) -> Result<Vec<LitStr>> {
    let items;
    bracketed!(items in input);
    Ok(Punctuated::<LitStr, Token![,]>::parse_terminated(&items)?
        .into_iter()
        .collect())
}

fn parse_handler(attr: &Attribute, errors: &mut Errors) -> HandlerAttr {
    let mut handler = HandlerAttr {
        span: attr.path().span(),
        run: None,
        cancel: None,
        retry: None,
        cancel_retry: None,
        lease: None,
        concurrency: None,
    };
    let keys = &["run", "cancel", "retry", "cancel_retry", "lease", "concurrency"];
    Options::new(keys, errors).parse_attr(attr, |key, input| {
        match key.to_string().as_str() {
            "run" => handler.run = Some(input.value()?),
            "cancel" if !input.has_value() => handler.cancel = Some(CancelForm::Method(key.span())),
            "cancel" => {
                handler.cancel = Some(CancelForm::Invalid);
                handler.cancel = Some(CancelForm::Path(input.value()?));
            }
            "retry" => handler.retry = Some(input.value()?),
            "cancel_retry" => handler.cancel_retry = Some((key.clone(), input.value()?)),
            "lease" => handler.lease = Some(input.value()?),
            _ => handler.concurrency = Some(input.value()?),
        }
        Ok(())
    });
    handler
}

/// `with = path`
fn parse_with(input: ParseStream, expected: &str) -> Result<ExprPath> {
    let key: Ident = input
        .parse()
        .map_err(|error| Error::new(error.span(), expected))?;
    if key != "with" {
        return Err(Error::new_spanned(key, expected));
    }
    Input {
        stream: input,
        key: &key,
    }
    .value()
}

/// A list of options, `key` or `key = value`. An error in one does not hide the others.
pub(crate) struct Options<'a> {
    keys: &'static [&'static str],
    seen: Vec<String>,
    errors: &'a mut Errors,
}

/// What follows a key.
pub(crate) struct Input<'a> {
    stream: ParseStream<'a>,
    key: &'a Ident,
}

impl Input<'_> {
    pub(crate) fn has_value(&self) -> bool {
        self.stream.peek(Token![=])
    }

    pub(crate) fn value<T: Parse>(&self) -> Result<T> {
        self.value_with(T::parse)
    }

    pub(crate) fn value_with<T>(&self, parse: fn(ParseStream) -> Result<T>) -> Result<T> {
        if !self.has_value() {
            return Err(Error::new_spanned(
                self.key,
                format!("expected `{} = ..`", self.key),
            ));
        }
        self.stream.parse::<Token![=]>()?;
        parse(self.stream)
    }
}

impl<'a> Options<'a> {
    pub(crate) fn new(keys: &'static [&'static str], errors: &'a mut Errors) -> Self {
        Self {
            keys,
            seen: Vec::new(),
            errors,
        }
    }

    /// Parses the options of an attribute, which may have none.
    pub(crate) fn parse_attr(
        &mut self,
        attr: &Attribute,
        option: impl FnMut(&Ident, Input<'_>) -> Result<()>,
    ) {
        let tokens = match &attr.meta {
            Meta::List(list) => list.tokens.clone(),
            Meta::Path(_) => TokenStream::new(),
            Meta::NameValue(meta) => {
                self.errors.at(
                    meta,
                    format!("expected `#[{}(..)]`", attr.path().to_token_stream()),
                );
                return;
            }
        };
        let parsed = (|input: ParseStream| {
            self.parse(input, option);
            Ok(())
        })
        .parse2(tokens);
        self.errors.ok(parsed);
    }

    /// Parses options up to the end of the input.
    pub(crate) fn parse(
        &mut self,
        input: ParseStream,
        mut option: impl FnMut(&Ident, Input<'_>) -> Result<()>,
    ) {
        while !input.is_empty() {
            if let Err(error) = self.parse_one(input, &mut option) {
                self.errors.push(error);
                skip_to_comma(input);
            } else if !input.is_empty() && !input.peek(Token![,]) {
                self.errors.push(input.error("expected `,`"));
                skip_to_comma(input);
            }
            _ = input.parse::<Token![,]>();
        }
    }

    fn parse_one(
        &mut self,
        input: ParseStream,
        option: &mut impl FnMut(&Ident, Input<'_>) -> Result<()>,
    ) -> Result<()> {
        let keys = self.keys.iter().copied();
        let key = input.call(Ident::parse_any).map_err(|error| {
            Error::new(
                error.span(),
                format!("expected an option: {}", list(keys.clone(), "or")),
            )
        })?;
        let name = key.to_string();
        if !self.keys.contains(&name.as_str()) {
            let hint = match did_you_mean(&name, keys.clone()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("the options are {}", list(keys, "and")),
            };
            return Err(Error::new_spanned(
                &key,
                format!("there is no option `{name}`; {hint}"),
            ));
        }
        if self.mentions(&name) {
            return Err(Error::new_spanned(&key, format!("`{name}` is given twice")));
        }
        self.seen.push(name);
        option(
            &key,
            Input {
                stream: input,
                key: &key,
            },
        )
    }

    /// Whether an option was given, even if its value was wrong.
    pub(crate) fn mentions(&self, key: &str) -> bool {
        self.seen.iter().any(|seen| seen == key)
    }
}

fn skip_to_comma(input: ParseStream) {
    while !input.is_empty() && !input.peek(Token![,]) {
        _ = input.parse::<TokenTree>();
    }
}
