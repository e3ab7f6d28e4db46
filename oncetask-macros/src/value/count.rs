use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, ExprLit, Lit, Result};

use super::expression;

/// A whole number from 1, or a constant that the compiler evaluates.
#[derive(Clone)]
pub(crate) struct Count {
    expr: Expr,
}

impl Parse for Count {
    fn parse(input: ParseStream) -> Result<Self> {
        let expected = "expected a whole number from 1";
        let expr = expression(input, expected)?;
        match &expr {
            Expr::Lit(ExprLit {
                lit: Lit::Int(int), ..
            }) => match int.base10_parse::<u32>() {
                Ok(0) => Err(Error::new_spanned(int, expected)),
                Ok(_) => Ok(Self { expr }),
                Err(_) => Err(Error::new_spanned(int, format!("{expected} to {}", u32::MAX))),
            },
            Expr::Lit(_) | Expr::Unary(_) => Err(Error::new_spanned(&expr, expected)),
            _ => Ok(Self { expr }),
        }
    }
}

impl ToTokens for Count {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.expr.to_tokens(tokens);
    }
}
