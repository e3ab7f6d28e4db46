::core::compile_error! {
    "a generic type is not supported, because the kind of a task does not identify its type arguments; derive `OnceTask` for a struct that contains the concrete type"
}
#[automatically_derived]
impl<T> renamed::OnceTask for Invalid<T>
where
    T: Clone,
    for<'workaround> Invalid<T>: renamed::__private::Payload,
{
    const KIND: &'static ::core::primitive::str = "";
    fn id(&self) -> renamed::__private::TaskId {
        ::core::unreachable!()
    }
}
