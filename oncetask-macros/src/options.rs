//! Lists of options, `key` or `key = value`, as attributes and retry policies have them.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::token::Paren;
use syn::{Attribute, Error, Ident, LitStr, Meta, Result, Token, parenthesized};

use crate::errors::Errors;
use crate::suggest::{hint, list};

/// A list of options. An error in one does not hide the others.
pub(crate) struct Options<'a> {
    keys: &'static [&'static str],
    repeated: &'static [&'static str],
    seen: Vec<String>,
    errors: &'a mut Errors,
}

/// A key, and what follows it.
pub(crate) struct Input<'a> {
    stream: ParseStream<'a>,
    key: &'a Ident,
}

impl<'a> Input<'a> {
    pub(crate) fn new(stream: ParseStream<'a>, key: &'a Ident) -> Self {
        Self { stream, key }
    }

    pub(crate) fn key(&self) -> &Ident {
        self.key
    }

    pub(crate) fn has_value(&self) -> bool {
        self.stream.peek(Token![=])
    }

    pub(crate) fn value<T: Parse>(&self) -> Result<T> {
        self.value_with(T::parse)
    }

    pub(crate) fn value_with<T>(&self, parse: fn(ParseStream) -> Result<T>) -> Result<T> {
        let key = self.key;
        if !self.has_value() {
            return Err(Error::new_spanned(key, format!("expected `{key} = ..`")));
        }
        self.stream.parse::<Token![=]>()?;
        parse(self.stream)
    }

    /// The value `key = "text"`.
    pub(crate) fn text(&self, example: &str) -> Result<LitStr> {
        let text = self.value_with(|stream| Ok(stream.parse::<LitStr>().map_err(|error| error.span())))?;
        let expected = || format!("expected a string, as in `{} = \"{example}\"`", self.key);
        text.map_err(|span| Error::new(span, expected()))
    }

    /// Nothing follows.
    pub(crate) fn alone(&self) -> Result<()> {
        if self.has_value() {
            let key = self.key;
            return Err(Error::new_spanned(key, format!("`{key}` takes no value")));
        }
        Ok(())
    }
}

impl<'a> Options<'a> {
    pub(crate) fn new(keys: &'static [&'static str], errors: &'a mut Errors) -> Self {
        Self {
            keys,
            repeated: &[],
            seen: Vec::new(),
            errors,
        }
    }

    /// Lets these options be given several times.
    pub(crate) fn repeated(mut self, keys: &'static [&'static str]) -> Self {
        self.repeated = keys;
        self
    }

    /// Parses the options of an attribute, which may have none.
    pub(crate) fn parse_attr(&mut self, attr: &Attribute, option: impl FnMut(Input<'_>) -> Result<()>) {
        let tokens = match &attr.meta {
            Meta::List(list) => list.tokens.clone(),
            Meta::Path(_) => TokenStream::new(),
            Meta::NameValue(meta) => {
                let name = attr.path().to_token_stream();
                return self.errors.at(meta, format!("expected `#[{name}(..)]`"));
            }
        };
        let parsed = (|input: ParseStream| {
            self.parse(input, option);
            Ok(())
        })
        .parse2(tokens);
        self.errors.ok(parsed);
    }

    /// Parses options in parentheses; there may be none.
    pub(crate) fn parse_arguments(
        &mut self,
        input: ParseStream,
        option: impl FnMut(Input<'_>) -> Result<()>,
    ) -> Result<()> {
        if input.peek(Paren) {
            let arguments;
            parenthesized!(arguments in input);
            self.parse(&arguments, option);
        }
        Ok(())
    }

    /// Parses options up to the end of the input.
    pub(crate) fn parse(&mut self, input: ParseStream, mut option: impl FnMut(Input<'_>) -> Result<()>) {
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
        option: &mut impl FnMut(Input<'_>) -> Result<()>,
    ) -> Result<()> {
        let keys = self.keys.iter().copied();
        let expected = |error: Error| {
            let options = list(keys.clone(), "or");
            Error::new(error.span(), format!("expected an option: {options}"))
        };
        let key = input.call(Ident::parse_any).map_err(expected)?;
        let name = key.to_string();
        if !self.keys.contains(&name.as_str()) {
            let hint = hint(&name, keys, "option");
            return Err(Error::new_spanned(
                &key,
                format!("there is no option `{name}`; {hint}"),
            ));
        }
        if self.mentions(&name) && !self.repeated.contains(&name.as_str()) {
            return Err(Error::new_spanned(&key, format!("`{name}` is given twice")));
        }
        self.seen.push(name);
        option(Input::new(input, &key))
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
