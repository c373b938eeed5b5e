//! The settings that come in tables of their own: `[tls]`, `[metrics]`, `[limits]`, `[log]`, `[jwt]`, `[webhooks]`. Must not know
//! who uses them.

use serde::{Deserialize, Deserializer};
use std::fmt;
use std::str::FromStr;

/// The shortest token for the metrics, in bytes.
pub const METRICS_TOKEN_BYTES_MIN: usize = 16;

/// TLS by the relay itself: the table `[tls]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// The file with the certificate, and those between it and an authority, in PEM.
    pub cert: String,
    /// The file with its private key, in PEM.
    pub key: String,
}

/// Who may read the metrics beside this machine: the table `[metrics]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSettings {
    /// An address and port of their own, for whoever can reach it; none unless set.
    pub listen: Option<String>,
    /// What a reader from elsewhere shows as `Authorization: Bearer`: 16 bytes at least; none unless set.
    pub token: Option<Secret>,
}

/// What a workspace may take unless its operator says otherwise: the table `[limits]`; 0: no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Changes that may be pushed in a second.
    pub changes_per_second: u32,
    /// Bytes that may be pushed in a second.
    pub bytes_per_second: u32,
    /// REST requests in a second.
    pub requests_per_second: u32,
    /// Bytes that its log may have.
    pub log_bytes_max: u64,
}

/// How the relay writes its log: the table `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// `text` or `json`.
    #[serde(deserialize_with = "log_format")]
    pub format: LogFormat,
    /// Where spans are sent as OTLP over HTTP, as in `http://127.0.0.1:4318/v1/traces`; nowhere unless set.
    pub otlp: Option<String>,
}

/// The form of a line of the relay's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("\"{other}\" is no form of a log: use text or json")),
        }
    }
}

fn log_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LogFormat, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// A text that is shown to nobody.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Tokens of an app's own login: the table `[jwt]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtSettings {
    /// Its public keys: a file, or an `https://` address; `http://` on this machine only.
    pub jwks: String,
    /// Whose tokens these are: the claim `iss`.
    pub issuer: String,
    /// Whom they are for: the claim `aud`.
    pub audience: String,
    /// The claim with the workspace.
    #[serde(default = "workspace_claim")]
    pub workspace_claim: String,
    /// The claim with the role.
    #[serde(default = "role_claim")]
    pub role_claim: String,
    /// The role where that claim is missing.
    #[serde(default = "role")]
    pub role: String,
    /// The claim with access by collection, an object as in `{"sales": "write"}`; without it, what the role allows.
    #[serde(default = "collections_claim")]
    pub collections_claim: String,
}

fn workspace_claim() -> String {
    "workspace".to_owned()
}

fn role_claim() -> String {
    "role".to_owned()
}

fn role() -> String {
    "reader".to_owned()
}

fn collections_claim() -> String {
    "collections".to_owned()
}

/// What webhooks may do: the table `[webhooks]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookSettings {
    /// Whether they may reach loopback, private and link-local addresses.
    pub allow_private: bool,
    /// Whether they may be sent without TLS.
    pub allow_http: bool,
    /// Time for one attempt, from the name's resolution to the answer's head, in milliseconds.
    pub timeout_ms: u64,
    /// The wait before each further attempt, in milliseconds; after the last one it is a dead letter.
    pub retry_ms: Vec<u64>,
    /// Webhooks of one workspace.
    pub per_workspace_max: usize,
    /// Webhooks of all workspaces.
    pub webhooks_max: usize,
    /// Attempts at once, of all webhooks.
    pub attempts_max: usize,
    /// Dead letters kept of one webhook; with one more it is suspended.
    pub dead_letters_max: usize,
    /// Attempts kept in the log of one webhook.
    pub log_max: usize,
    /// Workspaces that are open for webhooks at once, beside `services_max`.
    pub services_max: u32,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        const MINUTE_MS: u64 = 60_000;
        const HOUR_MS: u64 = 60 * MINUTE_MS;
        Self {
            allow_private: false,
            allow_http: false,
            timeout_ms: 20_000,
            // The example of the Standard Webhooks specification: three days in all.
            retry_ms: vec![
                5_000,
                5 * MINUTE_MS,
                30 * MINUTE_MS,
                2 * HOUR_MS,
                5 * HOUR_MS,
                10 * HOUR_MS,
                14 * HOUR_MS,
                20 * HOUR_MS,
                24 * HOUR_MS,
            ],
            per_workspace_max: 16,
            webhooks_max: 1_024,
            attempts_max: 64,
            dead_letters_max: 100,
            log_max: 1_000,
            services_max: 8,
        }
    }
}

impl WebhookSettings {
    /// The limits that let nothing through where they are 0.
    pub fn limits(&self) -> [(&'static str, u64); 7] {
        [
            ("webhooks.timeout_ms", self.timeout_ms),
            ("webhooks.per_workspace_max", self.per_workspace_max as u64),
            ("webhooks.webhooks_max", self.webhooks_max as u64),
            ("webhooks.attempts_max", self.attempts_max as u64),
            ("webhooks.dead_letters_max", self.dead_letters_max as u64),
            ("webhooks.log_max", self.log_max as u64),
            ("webhooks.services_max", u64::from(self.services_max)),
        ]
    }
}
