const _: () = {
    #[automatically_derived]
    impl ::oncetask::OnceTask for Functions {
        const KIND: &'static ::core::primitive::str = "Functions";
        fn id(&self) -> ::oncetask::__private::TaskId {
            ::oncetask::__private::IdBuilder::of_kind(
                    <Self as ::oncetask::OnceTask>::KIND,
                )
                .part(
                    &{
                        let __self = self;
                        Self::key(__self)
                    },
                )
                .id()
        }
        fn resource_key(
            &self,
        ) -> ::core::option::Option<::oncetask::__private::ResourceKey> {
            ::oncetask::__private::IdBuilder::resource()
                .part(
                    &{
                        let __self = self;
                        owner(__self)
                    },
                )
                .key()
        }
        fn schedule(&self) -> ::oncetask::__private::Schedule {
            ::oncetask::__private::RunAt::schedule(
                &{
                    let __self = self;
                    Self::at(__self)
                },
            )
        }
    }
    #[automatically_derived]
    impl ::oncetask::__private::Handled for Functions {
        const HANDLER: ::oncetask::__private::HandlerDefinition = ::oncetask::__private::HandlerDefinition {
            config: {
                let __config = ::oncetask::__private::HandlerConfig::DEFAULT;
                let __config = __config.retry(EVERY_MINUTE);
                let __config = __config
                    .on_cancel_retry(::oncetask::__private::Retry::never());
                __config.lease(Self::LEASE)
            },
            grouped: ::oncetask::__private::is_grouped::<
                Self,
                _,
                _,
            >(&<Self as Work>::work),
            run: |delivery| ::oncetask::__private::deliver::<
                Self,
                _,
                _,
            >(<Self as Work>::work, delivery),
            on_cancel: ::core::option::Option::Some(|delivery| ::oncetask::__private::clean_up::<
                Self,
                _,
                _,
            >(undo, delivery)),
            needs: |needs| {
                ::oncetask::__private::needs(&<Self as Work>::work, needs);
                ::oncetask::__private::needs(&undo, needs);
            },
        };
    }
    ::oncetask::__private::inventory::submit! {
        ::oncetask::__private::Discovered(::oncetask::__private::TaskType::handled:: <
        Functions > (::core::file!(), ::core::line!(), ::core::column!(),))
    }
};
