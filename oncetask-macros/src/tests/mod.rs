//! Tests of the whole derive, outside of a compiler: `proc_macro2` works there too.

mod errors;
mod expansions;
mod fuzz;
