//! What the operator may set: one TOML file, every limit by name and unit. Must not know what the limits guard.

mod tables;

use crate::text::Told;
use comptoir_engine::disk::StoreKind;
use jiff::SignedDuration;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use tables::{
    JwtSettings, LimitSettings, LogFormat, LogSettings, METRICS_TOKEN_BYTES_MIN, MetricsSettings, Secret, TlsSettings,
    WebhookSettings,
};

/// The longest configuration file, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 64 << 10;

/// The shortest time between two backups.
const EVERY_MIN: Duration = Duration::from_secs(60);

/// The settings, each with its default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen: address and port.
    pub listen: String,
    /// What keeps the log: `sled` or `redb`. Unless said, what the folder holds already, and sled in a new one.
    #[serde(deserialize_with = "store_kind")]
    pub store: Option<StoreKind>,
    /// Memory the log's store may use as a cache, in bytes.
    pub cache_bytes: u64,
    /// An app's own login, whose tokens are as good as the relay's; none unless set.
    pub jwt: Option<JwtSettings>,
    /// Backups that the relay takes by itself; none unless set.
    pub backup: Option<BackupSettings>,
    /// Days of the audit that are kept.
    pub audit_days: usize,
    /// TLS by the relay itself; none unless set.
    pub tls: Option<TlsSettings>,
    /// Who may read the metrics beside this machine.
    pub metrics: MetricsSettings,
    /// What a workspace may take.
    pub limits: LimitSettings,
    /// How the relay writes its log.
    pub log: LogSettings,
    /// What webhooks may do.
    pub webhooks: WebhookSettings,
    /// Connections served at once, of any kind.
    pub connections_max: u32,
    /// Connections that have shown no token yet; where there are more, the longest waiting is closed.
    pub guests_max: u32,
    /// The same of one address. Behind a proxy, all devices have the proxy's.
    pub guests_per_address_max: u32,
    /// Sessions in one workspace.
    pub sessions_per_workspace_max: u32,
    /// The newest entries each room keeps in memory, in bytes.
    pub recent_bytes_max: usize,
    /// Pushes stored by one flush.
    pub group_pushes_max: usize,
    /// Bytes of pushes stored by one flush.
    pub group_bytes_max: usize,
    /// Changes stored by one flush.
    pub group_changes_max: usize,
    /// Entries by which a workspace's log grows before its short ones become long ones.
    pub compact_entries: usize,
    /// Bytes of pushes that wait to be stored, in all workspaces together.
    pub waiting_bytes_max: u32,
    /// Changes of pushes that wait to be stored, of one workspace; a push counts for 64 at least.
    pub waiting_changes_per_workspace_max: u32,
    /// Bytes of messages of one workspace that are not whole yet or not dealt with, past 64 KiB of each session.
    pub unread_bytes_per_workspace_max: u32,
    /// Pages of the log read at once.
    pub reads_max: u32,
    /// Devices that compare histories at once.
    pub reconciles_max: u32,
    /// The same of one workspace.
    pub reconciles_per_workspace_max: u32,
    /// Time to send a request's head, in milliseconds.
    pub upgrade_timeout_ms: u64,
    /// Time for a device's first message, in milliseconds.
    pub hello_timeout_ms: u64,
    /// Silence after which a device is given up, in milliseconds.
    pub idle_timeout_ms: u64,
    /// Silence after which a device is asked for a sign of life, in milliseconds.
    pub ping_interval_ms: u64,
    /// Time to write one message, in milliseconds.
    pub write_timeout_ms: u64,
    /// Time for the sessions to end when the relay stops, in milliseconds.
    pub shutdown_timeout_ms: u64,
    /// Workspaces that are read and written over REST at once.
    pub services_max: u32,
    /// Time after which a workspace's service device is closed when nobody asks for it, in milliseconds.
    pub service_idle_ms: u64,
}

/// Backups on time: the table `[backup]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupSettings {
    /// The folder, or `s3://BUCKET/PREFIX`, to back up into.
    pub out: String,
    /// The time from one backup to the next, as in `6h`: a minute at least.
    #[serde(deserialize_with = "interval")]
    pub every: Duration,
    /// How many are kept: 7 unless said otherwise.
    #[serde(default = "kept")]
    pub keep: usize,
    /// Whether each is tried before it counts: yes unless said otherwise.
    #[serde(default = "tried")]
    pub trial: bool,
    /// Of buckets, also for backups that the command line asks this relay for.
    #[serde(default)]
    pub s3: BucketSettings,
}

/// Buckets of an S3-compatible server: the table `[backup.s3]`. What is not said here is as the environment says (`AWS_*`),
/// and credentials are there alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketSettings {
    /// The server, as in `https://s3.example.com`; Amazon's unless said.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Whether the server may be asked without TLS.
    pub allow_http: Option<bool>,
}

fn kept() -> usize {
    7
}

fn tried() -> bool {
    true
}

fn interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let every = text.parse::<SignedDuration>().ok().and_then(|every| Duration::try_from(every).ok());
    let every = every.filter(|every| *every >= EVERY_MIN);
    every.ok_or_else(|| {
        D::Error::custom(format!("\"{text}\" is no time from a minute on: use a number and m or h, as in 6h"))
    })
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7440".to_owned(),
            store: None,
            cache_bytes: 64 << 20,
            jwt: None,
            backup: None,
            audit_days: 90,
            tls: None,
            metrics: MetricsSettings::default(),
            limits: LimitSettings::default(),
            log: LogSettings::default(),
            webhooks: WebhookSettings::default(),
            connections_max: 10_000,
            guests_max: 1_024,
            guests_per_address_max: 512,
            sessions_per_workspace_max: 1_000,
            recent_bytes_max: 1 << 20,
            group_pushes_max: 256,
            group_bytes_max: 8 << 20,
            group_changes_max: 65_536,
            compact_entries: 256,
            waiting_bytes_max: 64 << 20,
            waiting_changes_per_workspace_max: 32_768,
            unread_bytes_per_workspace_max: 32 << 20,
            reads_max: 8,
            reconciles_max: 32,
            reconciles_per_workspace_max: 8,
            upgrade_timeout_ms: 5_000,
            hello_timeout_ms: 5_000,
            idle_timeout_ms: 45_000,
            ping_interval_ms: 20_000,
            write_timeout_ms: 10_000,
            shutdown_timeout_ms: 10_000,
            services_max: 64,
            service_idle_ms: 300_000,
        }
    }
}

fn store_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StoreKind>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}

/// Why the settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {path} cannot be read ({cause}): check the path and its permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        cause: String,
    },
    /// Not TOML, a key there is no such setting for, or a value of the wrong kind.
    #[error("the configuration {path} is not valid ({cause}): correct it, or leave the line out for the default")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        cause: String,
    },
    /// A limit of 0, with which nothing would work.
    #[error("the setting {name} is 0, so nothing could be served: set it to 1 or more, or leave it out")]
    Zero {
        /// The setting.
        name: &'static str,
    },
    /// A certificate without a key, or a key without a certificate.
    #[error(
        "{name} is missing: TLS needs a certificate (--tls-cert, or cert in [tls]) and its key (--tls-key, or key)"
    )]
    HalfTls {
        /// The setting that is not there.
        name: &'static str,
    },
    /// A token that can be guessed.
    #[error(
        "the setting metrics.token has fewer than {METRICS_TOKEN_BYTES_MIN} bytes: use a longer one, or leave it out"
    )]
    ShortToken,
    /// Spans cannot be sent there.
    #[error("the setting log.otlp cannot be used ({cause}): correct it, or leave it out")]
    Otlp {
        /// Why not.
        cause: String,
    },
    /// Not an address and a port.
    #[error("\"{listen}\" is no address to listen on: use an IP address and a port, as in 127.0.0.1:7440")]
    Listen {
        /// What was given.
        listen: String,
    },
}

impl Told for ConfigError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "config_unreadable",
            Self::Invalid { .. } => "config_invalid",
            Self::Zero { .. } => "config_zero",
            Self::HalfTls { .. } => "tls_half",
            Self::ShortToken => "metrics_token_short",
            Self::Otlp { .. } => "otlp_unusable",
            Self::Listen { .. } => "listen_invalid",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Unreadable { path, cause } | Self::Invalid { path, cause } => {
                vec![("path", path.display().to_string()), ("cause", cause.clone())]
            }
            Self::ShortToken => vec![("bytes_min", METRICS_TOKEN_BYTES_MIN.to_string())],
            Self::Otlp { cause } => vec![("cause", cause.clone())],
            Self::Zero { name } | Self::HalfTls { name } => vec![("name", (*name).to_owned())],
            Self::Listen { listen } => vec![("listen", listen.clone())],
        }
    }
}

impl Config {
    /// Reads the file and checks every setting.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |cause: String| ConfigError::Unreadable { path: path.to_owned(), cause };
        let bytes = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
        if bytes > CONFIG_BYTES_MAX {
            return Err(unreadable(format!("{bytes} bytes, {CONFIG_BYTES_MAX} at most")));
        }
        let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        let config: Self = toml::from_str(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count();
            let cause = format!("line {line}: {}", error.message());
            ConfigError::Invalid { path: path.to_owned(), cause }
        })?;
        config.check()?;
        Ok(config)
    }

    /// Every limit lets something through, and the address is one.
    pub fn check(&self) -> Result<(), ConfigError> {
        let limits = [
            ("audit_days", self.audit_days as u64),
            ("connections_max", u64::from(self.connections_max)),
            ("guests_max", u64::from(self.guests_max)),
            ("guests_per_address_max", u64::from(self.guests_per_address_max)),
            ("sessions_per_workspace_max", u64::from(self.sessions_per_workspace_max)),
            ("group_pushes_max", self.group_pushes_max as u64),
            ("group_bytes_max", self.group_bytes_max as u64),
            ("group_changes_max", self.group_changes_max as u64),
            ("compact_entries", self.compact_entries as u64),
            ("waiting_bytes_max", u64::from(self.waiting_bytes_max)),
            ("waiting_changes_per_workspace_max", u64::from(self.waiting_changes_per_workspace_max)),
            ("unread_bytes_per_workspace_max", u64::from(self.unread_bytes_per_workspace_max)),
            ("reads_max", u64::from(self.reads_max)),
            ("reconciles_max", u64::from(self.reconciles_max)),
            ("reconciles_per_workspace_max", u64::from(self.reconciles_per_workspace_max)),
            ("upgrade_timeout_ms", self.upgrade_timeout_ms),
            ("hello_timeout_ms", self.hello_timeout_ms),
            ("idle_timeout_ms", self.idle_timeout_ms),
            ("ping_interval_ms", self.ping_interval_ms),
            ("write_timeout_ms", self.write_timeout_ms),
            ("services_max", u64::from(self.services_max)),
            ("service_idle_ms", self.service_idle_ms),
        ];
        if self.backup.as_ref().is_some_and(|backup| backup.keep == 0) {
            return Err(ConfigError::Zero { name: "backup.keep" });
        }
        if let Some((name, _)) = limits.iter().chain(&self.webhooks.limits()).find(|(_, limit)| *limit == 0) {
            return Err(ConfigError::Zero { name });
        }
        self.check_tables()?;
        self.listen_address().map(|_| ())
    }

    fn check_tables(&self) -> Result<(), ConfigError> {
        match &self.tls {
            Some(tls) if tls.cert.is_empty() => return Err(ConfigError::HalfTls { name: "tls.cert" }),
            Some(tls) if tls.key.is_empty() => return Err(ConfigError::HalfTls { name: "tls.key" }),
            _ => {}
        }
        let token = self.metrics.token.as_ref();
        if token.is_some_and(|token| token.reveal().len() < METRICS_TOKEN_BYTES_MIN) {
            return Err(ConfigError::ShortToken);
        }
        self.metrics_address().map(|_| ())
    }

    /// Where to listen.
    pub fn listen_address(&self) -> Result<SocketAddr, ConfigError> {
        address(&self.listen)
    }

    /// Where the metrics have an address of their own, if anywhere.
    pub fn metrics_address(&self) -> Result<Option<SocketAddr>, ConfigError> {
        self.metrics.listen.as_deref().map(address).transpose()
    }
}

fn address(listen: &str) -> Result<SocketAddr, ConfigError> {
    listen.parse().map_err(|_| ConfigError::Listen { listen: listen.to_owned() })
}
