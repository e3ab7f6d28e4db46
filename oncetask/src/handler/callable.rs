use super::context::{Context, FromContext, Needs};

/// A function that can be a handler: an `async fn` of one to nine parameters.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be called as a handler",
    label = "not an `async fn` of one to nine owned parameters",
    note = "a handler is an `async fn(task, ..) -> Result<_, _>`: the task by value (`self`, not `&self`), then `Context`, `Client` or `State<S>`"
)]
pub trait Callable<Args>: Clone + Send + Sync + 'static {
    /// The type of the first parameter.
    type First;
    /// The types of the other parameters.
    type Rest;
    /// The future that the function returns.
    type Future;

    #[doc(hidden)]
    fn call(&self, first: Self::First, rest: Self::Rest) -> Self::Future;
}

/// The future that a handler function returns.
#[diagnostic::on_unimplemented(
    message = "a handler must be an `async fn`, but this one returns `{Self}`",
    label = "not an `async fn`"
)]
pub trait HandlerFuture: Future<Output = Self::Out> {
    /// The output of the future.
    type Out;
}

#[diagnostic::do_not_recommend]
impl<F: Future> HandlerFuture for F {
    type Out = F::Output;
}

/// The parameters of a handler after the first.
pub trait Extract: Sized + Send {
    #[doc(hidden)]
    fn extract(cx: &Context) -> Self;

    #[doc(hidden)]
    fn needs(needs: &mut Needs);
}

macro_rules! arities {
    ($(($($arg:ident),*))*) => {$(
        #[diagnostic::do_not_recommend]
        impl<Function, Output, First, $($arg),*> Callable<(First, $($arg),*)> for Function
        where
            Function: Fn(First, $($arg),*) -> Output + Clone + Send + Sync + 'static,
        {
            type First = First;
            type Rest = ($($arg,)*);
            type Future = Output;

            #[allow(non_snake_case)]
            fn call(&self, first: First, ($($arg,)*): Self::Rest) -> Output {
                self(first, $($arg),*)
            }
        }

        impl<$($arg: FromContext),*> Extract for ($($arg,)*) {
            #[allow(unused_variables, clippy::unused_unit)]
            fn extract(cx: &Context) -> Self {
                ($($arg::from_context(cx),)*)
            }

            #[allow(unused_variables)]
            fn needs(needs: &mut Needs) {
                $($arg::needs(needs);)*
            }
        }
    )*};
}

arities! {
    ()
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
    (A, B, C, D, E, G)
    (A, B, C, D, E, G, H)
    (A, B, C, D, E, G, H, I)
}
