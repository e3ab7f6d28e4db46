#[task(crate = renamed)]
#[id("{usr}")]
struct Mistaken<T>
where
    T: Clone,
{
    user: T,
}
