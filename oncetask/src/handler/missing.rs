//! What `Self::run` and `Self::on_cancel` name in an expansion where the type has no such function: an error
//! that says what to write. A function of the type's own comes before these.

use std::future::Ready;

/// A type with the associated function `run`. Nothing implements it: it shows up in an error message only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has a `#[handler]`, but no function `run`",
    label = "this calls `{Self}::run`, which does not exist",
    note = "write one: `impl {Self} {{ async fn run(self) -> oncetask::Result {{ .. }} }}`",
    note = "or name another function: `#[handler(run = path)]`"
)]
pub trait HasRun {}

/// A type with the associated function `on_cancel`. Nothing implements it: it shows up in an error message only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has a `#[handler(on_cancel)]`, but no function `on_cancel`",
    label = "this calls `{Self}::on_cancel`, which does not exist",
    note = "write one: `impl {Self} {{ async fn on_cancel(self) -> oncetask::Result {{ .. }} }}`",
    note = "or name another function: `#[handler(on_cancel = path)]`"
)]
pub trait HasCancel {}

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
        Self: HasCancel,
    {
        unreachable!("nothing implements `HasCancel`")
    }
}

impl<T> NoRun for T {}
impl<T> NoOnCancel for T {}
