const _: () = {
    #[automatically_derived]
    impl ::oncetask::OnceTask for Nightly {
        const KIND: &'static ::core::primitive::str = "Nightly";
        fn id(&self) -> ::oncetask::__private::TaskId {
            ::oncetask::__private::IdBuilder::task().literal("nightly").id()
        }
        fn schedule(&self) -> ::oncetask::__private::Schedule {
            ::oncetask::__private::Schedule::Recurring(
                ::oncetask::__private::Recurrence::__checked("FREQ=DAILY;BYHOUR=2"),
            )
        }
    }
    use ::oncetask::__private::NoRun as _;
    #[automatically_derived]
    impl ::oncetask::__private::Handled for Nightly {
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
        const CHECKS: () = {
            ::core::assert!(
                ! < Self as ::oncetask::__private::Handled > ::HANDLER.grouped,
                "this handler takes a `Vec`, but `Nightly` has no `#[resource_key]` to group by; add one"
            );
        };
    }
    ::oncetask::__private::inventory::submit! {
        ::oncetask::__private::Discovered(::oncetask::__private::TaskType::handled:: <
        Nightly > (::core::file!(), ::core::line!(), ::core::column!(),).at_start(||
        ::oncetask::__private::Draft::of(& Nightly {})))
    }
};
