//! Stand-ins for `Self::run` and `Self::on_cancel` in an expansion.
//!
//! If the task type has no such function, the path resolves to the function of a trait below, whose unmet bound
//! produces an error that says what to write. A function of the type itself takes precedence.

use std::future::Ready;

/// A type with the associated function `run`. Nothing implements it: it exists for its error message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has a `#[handler]`, but no function `run`",
    label = "this calls `{Self}::run`, which does not exist",
    note = "add the function: `impl {Self} {{ async fn run(self) -> oncetask::Result {{ .. }} }}`",
    note = "or name another function: `#[handler(run = path)]`"
)]
pub trait HasRun {}

/// A type with the associated function `on_cancel`. Nothing implements it: it exists for its error message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has a `#[handler(on_cancel)]`, but no function `on_cancel`",
    label = "this calls `{Self}::on_cancel`, which does not exist",
    note = "add the function: `impl {Self} {{ async fn on_cancel(self) -> oncetask::Result {{ .. }} }}`",
    note = "or name another function: `#[handler(on_cancel = path)]`"
)]
pub trait HasOnCancel {}

#[doc(hidden)]
pub trait NoRun: Sized {
    fn run(self) -> Ready<()>
    where
        Self: HasRun,
    {
        unreachable!("nothing implements `HasRun`")
    }
}

#[doc(hidden)]
pub trait NoOnCancel: Sized {
    fn on_cancel(self) -> Ready<()>
    where
        Self: HasOnCancel,
    {
        unreachable!("nothing implements `HasOnCancel`")
    }
}

impl<T> NoRun for T {}
impl<T> NoOnCancel for T {}
