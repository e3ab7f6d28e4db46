#[id("email:{to}:{subject:hash}")]
struct SendEmail {
    to: String,
    subject: String,
}
