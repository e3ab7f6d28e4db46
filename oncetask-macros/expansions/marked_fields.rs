#[handler]
struct Marked {
    #[id]
    r#type: String,
    #[id(hash)]
    lines: Vec<String>,
    #[resource_key]
    channel: Option<String>,
    #[run_at]
    at: Option<DateTime<Utc>>,
}
