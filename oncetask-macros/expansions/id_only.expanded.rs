const _: () = {
    #[automatically_derived]
    impl ::oncetask::OnceTask for SendEmail {
        const KIND: &'static ::core::primitive::str = "SendEmail";
        fn id(&self) -> ::oncetask::__private::TaskId {
            let Self { to: __self_0, subject: __self_1, .. } = self;
            ::oncetask::__private::IdBuilder::task()
                .literal("email:")
                .part_until(__self_0, ':')
                .literal(":")
                .hash(__self_1)
                .id()
        }
    }
    ::oncetask::__private::inventory::submit! {
        ::oncetask::__private::Discovered(::oncetask::__private::TaskType::unhandled:: <
        SendEmail > (::core::file!(), ::core::line!(), ::core::column!(),))
    }
};
