//! One attempt to deliver one message: signed by the Standard Webhooks convention, in one request within its time, without
//! proxies and redirects, to an address that was checked. Must not know what is in the message, or what follows.

use super::address::{NotPublic, Resolver, parse_url};
use crate::config::WebhookSettings;
use crate::text::Told as _;
use comptoir_engine::time::Timestamp;
use hyper::body::Bytes;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, header};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use std::error::Error as _;
use std::time::Duration;

/// What is read of an answer's body, in bytes, so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// The longest wait that an endpoint may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A message and where it goes.
pub(super) struct Message<'m> {
    /// The same for every attempt.
    pub(super) id: &'m str,
    pub(super) url: &'m str,
    pub(super) secret: &'m str,
    pub(super) body: Bytes,
}

/// What the endpoint said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// How long it asks to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl Answer {
    /// Whether it has the message.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether it wants no more of them.
    pub(super) fn is_gone(&self) -> bool {
        self.status == 410
    }
}

/// Why there is no answer: a name that is the same in every release, and the system's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unsent {
    pub(super) code: &'static str,
    pub(super) cause: String,
}

/// Sends.
pub(super) struct Sender {
    client: Client,
    settings: WebhookSettings,
}

impl Sender {
    pub(super) fn new(settings: &WebhookSettings) -> Result<Self, reqwest::Error> {
        // Of two in one program the first stays, and both are the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .dns_resolver(Resolver { allow_private: settings.allow_private })
            .redirect(Policy::none())
            .no_proxy()
            .https_only(!settings.allow_http)
            .referer(false)
            .timeout(Duration::from_millis(settings.timeout_ms))
            .pool_max_idle_per_host(2)
            .user_agent(concat!("comptoir-relay/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, settings: settings.clone() })
    }

    /// One attempt, now.
    pub(super) async fn send(&self, message: Message<'_>, now: Timestamp) -> Result<Answer, Unsent> {
        // The settings may be others than when the webhook was made.
        let url = parse_url(message.url, &self.settings);
        let url = url.map_err(|error| Unsent { code: error.code(), cause: error.to_string() })?;
        let signs = Webhook::new(message.secret);
        let timestamp = now.unix_ms.div_euclid(1000);
        let signature = signs.and_then(|signs| signs.sign(message.id, timestamp, &message.body));
        let signature = signature.map_err(|cause| Unsent { code: "unsigned", cause: cause.to_string() })?;
        let request = self
            .client
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(HEADER_WEBHOOK_ID, message.id)
            .header(HEADER_WEBHOOK_TIMESTAMP, timestamp.to_string())
            .header(HEADER_WEBHOOK_SIGNATURE, signature)
            .body(message.body);
        let mut response = request.send().await.map_err(|error| unsent(&error))?;
        let answer = Answer { status: response.status().as_u16(), retry_after: retry_after(&response) };
        let mut bytes = 0;
        while bytes < ANSWER_BYTES_MAX
            && let Ok(Some(chunk)) = response.chunk().await
        {
            bytes += chunk.len();
        }
        Ok(answer)
    }
}

/// `Retry-After` in seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn unsent(error: &reqwest::Error) -> Unsent {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        if cause.is::<NotPublic>() {
            return Unsent { code: "webhook_address", cause: cause.to_string() };
        }
        causes.push(cause);
        next = cause.source();
    }
    // The last of them is what the system said.
    let cause = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
    Unsent { code: if error.is_timeout() { "timeout" } else { "unreachable" }, cause }
}
