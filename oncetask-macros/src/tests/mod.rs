//! Tests of the whole derive. `proc_macro2` also works outside the compiler.

mod errors;
mod expansions;
mod fuzz;
