//! Whole numbers.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, ExprLit, Lit, LitInt, Result};

use super::expression;

/// A whole number of at least 1, or a constant that the compiler evaluates.
#[derive(Clone)]
pub(crate) struct Count {
    expr: Expr,
}

impl Parse for Count {
    fn parse(input: ParseStream) -> Result<Self> {
        let expr = expression(input, EXPECTED)?;
        match &expr {
            Expr::Lit(ExprLit {
                lit: Lit::Int(int), ..
            }) => number(int).map(|_| Self { expr }),
            Expr::Lit(_) | Expr::Unary(_) => Err(Error::new_spanned(&expr, EXPECTED)),
            _ => Ok(Self { expr }),
        }
    }
}

/// Parses a literal whole number of at least 1.
pub(crate) fn positive(input: ParseStream) -> Result<u32> {
    let int: LitInt = input
        .parse()
        .map_err(|error| Error::new(error.span(), EXPECTED))?;
    number(&int)
}

const EXPECTED: &str = "expected a whole number of at least 1";

fn number(int: &LitInt) -> Result<u32> {
    match int.base10_parse() {
        Ok(0) => Err(Error::new_spanned(int, EXPECTED)),
        Ok(number) => Ok(number),
        Err(_) => Err(Error::new_spanned(
            int,
            format!("expected a whole number from 1 to {}", u32::MAX),
        )),
    }
}

impl ToTokens for Count {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.expr.to_tokens(tokens);
    }
}
