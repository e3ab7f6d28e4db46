#[id("nightly")]
#[recurrence("FREQ=DAILY;BYHOUR=2", at_start)]
#[handler]
struct Nightly;
