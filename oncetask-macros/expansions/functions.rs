#[id(with = Self::key)]
#[resource_key(with = owner)]
#[run_at(with = Self::at)]
#[handler(run = <Self as Work>::work, retry = EVERY_MINUTE, on_cancel = undo, on_cancel_retry = never, lease = Self::LEASE)]
struct Functions(u8, String);
