const _: () = {
    #[automatically_derived]
    impl ::oncetask::OnceTask for Marked {
        const KIND: &'static ::core::primitive::str = "Marked";
        fn id(&self) -> ::oncetask::__private::TaskId {
            let Self { r#type: __self_0, lines: __self_1, .. } = self;
            ::oncetask::__private::IdBuilder::of_kind(
                    <Self as ::oncetask::OnceTask>::KIND,
                )
                .part_until(__self_0, ':')
                .literal(":")
                .hash(__self_1)
                .id()
        }
        fn resource_key(
            &self,
        ) -> ::core::option::Option<::oncetask::__private::ResourceKey> {
            let Self { channel: __self_0, .. } = self;
            ::oncetask::__private::IdBuilder::resource()
                .optional(__self_0.as_ref())
                .key()
        }
        fn schedule(&self) -> ::oncetask::__private::Schedule {
            let Self { at: __self_0, .. } = self;
            ::oncetask::__private::RunAt::schedule(__self_0)
        }
    }
    use ::oncetask::__private::NoRun as _;
    #[automatically_derived]
    impl ::oncetask::__private::Handled for Marked {
        const HANDLER: ::oncetask::__private::HandlerDefinition = ::oncetask::__private::HandlerDefinition {
            config: { ::oncetask::__private::HandlerConfig::DEFAULT },
            grouped: ::oncetask::__private::is_grouped::<Self, _, _>(&Self::run),
            run: |delivery| ::oncetask::__private::deliver::<
                Self,
                _,
                _,
            >(Self::run, delivery),
            on_cancel: ::core::option::Option::None,
            needs: |needs| {
                ::oncetask::__private::needs(&Self::run, needs);
            },
        };
    }
    ::oncetask::__private::inventory::submit! {
        ::oncetask::__private::Discovered(::oncetask::__private::TaskType::handled:: <
        Marked > (::core::file!(), ::core::line!(), ::core::column!(),))
    }
};
