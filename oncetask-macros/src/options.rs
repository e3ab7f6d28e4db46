//! Lists of options, `key` or `key = value`, in attributes and retry policies.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::token::Paren;
use syn::{Attribute, Error, Ident, LitStr, Meta, Result, Token, parenthesized};

use crate::errors::Errors;
use crate::suggest::{hint, list};

/// The parser of a list of options. An error in one option does not hide the errors in the others.
pub(crate) struct Options<'a> {
    keys: &'static [&'static str],
    repeatable: &'static [&'static str],
    seen: Vec<String>,
    errors: &'a mut Errors,
}

/// The key of an option, and the input after the key.
pub(crate) struct OptionInput<'a> {
    stream: ParseStream<'a>,
    key: &'a Ident,
}

impl<'a> OptionInput<'a> {
    /// Returns the option with this key, whose value is next in the stream.
    pub(crate) fn new(stream: ParseStream<'a>, key: &'a Ident) -> Self {
        Self { stream, key }
    }

    /// Returns the key.
    pub(crate) fn key(&self) -> &Ident {
        self.key
    }

    /// Returns whether a `=` follows the key.
    pub(crate) fn has_value(&self) -> bool {
        self.stream.peek(Token![=])
    }

    /// Parses the value in `key = value`.
    pub(crate) fn value<T: Parse>(&self) -> Result<T> {
        self.value_with(T::parse)
    }

    /// Parses the value in `key = value` with a function.
    pub(crate) fn value_with<T>(&self, parse: fn(ParseStream) -> Result<T>) -> Result<T> {
        let key = self.key;
        if !self.has_value() {
            return Err(Error::new_spanned(key, format!("expected `{key} = ..`")));
        }
        self.stream.parse::<Token![=]>()?;
        parse(self.stream)
    }

    /// Parses the value in `key = "text"`.
    pub(crate) fn text(&self, example: &str) -> Result<LitStr> {
        let text = self.value_with(|stream| Ok(stream.parse::<LitStr>().map_err(|error| error.span())))?;
        let expected = || format!("expected a string, as in `{} = \"{example}\"`", self.key);
        text.map_err(|span| Error::new(span, expected()))
    }

    /// Checks that the key has no value.
    pub(crate) fn no_value(&self) -> Result<()> {
        if self.has_value() {
            let key = self.key;
            return Err(Error::new_spanned(
                key,
                format!("`{key}` takes no value; write `{key}` alone"),
            ));
        }
        Ok(())
    }
}

impl<'a> Options<'a> {
    /// Returns a parser of options with these keys, which adds its errors to `errors`.
    pub(crate) fn new(keys: &'static [&'static str], errors: &'a mut Errors) -> Self {
        Self {
            keys,
            repeatable: &[],
            seen: Vec::new(),
            errors,
        }
    }

    /// Allows these options several times.
    pub(crate) fn repeatable(mut self, keys: &'static [&'static str]) -> Self {
        self.repeatable = keys;
        self
    }

    /// Parses the options of an attribute. The list may be absent.
    pub(crate) fn parse_attr(&mut self, attr: &Attribute, option: impl FnMut(OptionInput<'_>) -> Result<()>) {
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

    /// Parses options in parentheses. The parentheses may be absent.
    pub(crate) fn parse_arguments(
        &mut self,
        input: ParseStream,
        option: impl FnMut(OptionInput<'_>) -> Result<()>,
    ) -> Result<()> {
        if input.peek(Paren) {
            let arguments;
            parenthesized!(arguments in input);
            self.parse(&arguments, option);
        }
        Ok(())
    }

    /// Parses options up to the end of the input.
    pub(crate) fn parse(
        &mut self,
        input: ParseStream,
        mut option: impl FnMut(OptionInput<'_>) -> Result<()>,
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
        option: &mut impl FnMut(OptionInput<'_>) -> Result<()>,
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
        if self.mentions(&name) && !self.repeatable.contains(&name.as_str()) {
            return Err(Error::new_spanned(
                &key,
                format!("`{name}` is given twice; keep one of them"),
            ));
        }
        self.seen.push(name);
        option(OptionInput::new(input, &key))
    }

    /// Returns whether an option was given, even if its value was invalid.
    pub(crate) fn mentions(&self, key: &str) -> bool {
        self.seen.iter().any(|seen| seen == key)
    }
}

fn skip_to_comma(input: ParseStream) {
    while !input.is_empty() && !input.peek(Token![,]) {
        _ = input.parse::<TokenTree>();
    }
}
