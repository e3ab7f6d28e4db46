const _: () = {
    #[automatically_derived]
    impl renamed::OnceTask for SendEmail {
        const KIND: &'static ::core::primitive::str = "send-email";
        const ALIASES: &'static [&'static ::core::primitive::str] = &[
            "SendEmail",
            "send_email",
        ];
        fn id(&self) -> renamed::__private::TaskId {
            let Self { to: __self_0, subject: __self_1, path: __self_2, .. } = self;
            renamed::__private::IdBuilder::task()
                .literal("email:")
                .part_until(__self_0, ':')
                .literal(":")
                .hash(__self_1)
                .literal("|")
                .raw(__self_2)
                .id()
        }
        fn resource_key(
            &self,
        ) -> ::core::option::Option<renamed::__private::ResourceKey> {
            let Self { to: __self_0, .. } = self;
            renamed::__private::IdBuilder::resource()
                .literal("inbox:")
                .part(__self_0)
                .key()
        }
        fn schedule(&self) -> renamed::__private::Schedule {
            renamed::__private::Schedule::Recurring(
                renamed::__private::Recurrence::__checked(
                        "FREQ=WEEKLY;BYDAY=MO;BYHOUR=9;BYMINUTE=0;BYSECOND=0",
                    )
                    .__tz("Europe/Paris")
                    .__dtstart("2026-01-05T09:00:00")
                    .__exdate("2026-12-21T09:00:00")
                    .__exdate("2026-12-28T09:00:00")
                    .__rdate("2026-12-22T09:00:00")
                    .gap(renamed::__private::Gap::Shift)
                    .overlap(renamed::__private::Overlap::Both)
                    .missed(renamed::__private::Missed::All {
                        max: 3u32,
                    }),
            )
        }
    }
    use renamed::__private::NoOnCancel as _;
    #[automatically_derived]
    impl renamed::__private::Handled for SendEmail {
        const HANDLER: renamed::__private::HandlerDefinition = renamed::__private::HandlerDefinition {
            config: {
                let __config = renamed::__private::HandlerConfig::DEFAULT;
                let __config = __config
                    .retry({
                        let __retry = renamed::__private::Retry::exponential();
                        let __retry = __retry.max_attempts(5);
                        let __retry = __retry
                            .base(::core::time::Duration::new(1u64, 0u32));
                        let __retry = __retry
                            .max(::core::time::Duration::new(60u64, 0u32));
                        let __retry = __retry.factor(1.5f64);
                        __retry.full_jitter()
                    });
                let __config = __config
                    .on_cancel_retry({
                        let __retry = renamed::__private::Retry::fixed(DELAY);
                        __retry.unlimited()
                    });
                let __config = __config.lease(::core::time::Duration::new(900u64, 0u32));
                let __config = __config.concurrency(3);
                __config.max_group(GROUP)
            },
            grouped: renamed::__private::is_grouped::<Self, _, _>(&send),
            run: |delivery| renamed::__private::deliver::<Self, _, _>(send, delivery),
            on_cancel: ::core::option::Option::Some(|delivery| renamed::__private::clean_up::<
                Self,
                _,
                _,
            >(Self::on_cancel, delivery)),
            needs: |needs| {
                renamed::__private::needs(&send, needs);
                renamed::__private::needs(&Self::on_cancel, needs);
            },
        };
        const CHECKS: () = {
            ::core::assert!(
                < Self as renamed::__private::Handled > ::HANDLER.grouped,
                "`max_group` needs a handler that takes a `Vec`, but this one takes one task; remove `max_group`"
            );
        };
    }
    renamed::__private::inventory::submit! {
        renamed::__private::Discovered(renamed::__private::TaskType::handled:: <
        SendEmail > (::core::file!(), ::core::line!(), ::core::column!(),))
    }
};
