::core::compile_error! {
    "a generic type cannot be a task, for its kind would not tell which type to read back; derive `OnceTask` for a struct that contains the concrete type"
}
#[automatically_derived]
impl<T> renamed::OnceTask for Mistaken<T>
where
    T: Clone,
    for<'workaround> Mistaken<T>: renamed::__private::Payload,
{
    const KIND: &'static ::core::primitive::str = "";
    fn id(&self) -> renamed::__private::TaskId {
        ::core::unreachable!()
    }
}
