#[task(crate = renamed)]
#[id("{usr}")]
struct Invalid<T>
where
    T: Clone,
{
    user: T,
}
