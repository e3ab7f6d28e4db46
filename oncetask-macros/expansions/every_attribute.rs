#[task(kind = "send-email", alias = "SendEmail", alias = "send_email", crate = renamed)]
#[id("email:{to}:{subject:hash}|{path:raw}")]
#[resource_key("inbox:{to}")]
#[recurrence(
    "FREQ=WEEKLY;BYDAY=MO;BYHOUR=9;BYMINUTE=0;BYSECOND=0",
    tz = "Europe/Paris",
    dtstart = "2026-01-05T09:00:00",
    exdates = ["2026-12-21T09:00:00", "2026-12-28T09:00:00"],
    rdates = ["2026-12-22T09:00:00"],
    missed = all(max = 3),
    gap = shift,
    overlap = both,
)]
#[handler(
    run = send,
    on_cancel,
    retry = exponential(max_attempts = 5, base = "1s", max = "1m", factor = 1.5, jitter = full),
    on_cancel_retry = fixed(max_attempts = unlimited, delay = DELAY),
    lease = "15m",
    concurrency = 3,
    max_group = GROUP,
)]
struct SendEmail {
    to: String,
    subject: String,
    path: String,
}
