//! TLS by the relay itself: its certificate and key, read anew when their files change. Must not know what travels over it.

use crate::config::TlsSettings;
use crate::metrics::Metrics;
use crate::text::Told;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// The longest file of a certificate or a key, in bytes.
const PEM_BYTES_MAX: u64 = 1 << 20;
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why a certificate and its key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("the file {path} for TLS cannot be read ({cause}): check the path and its permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        cause: String,
    },
    /// The file with the certificate holds none.
    #[error("the file {path} holds no certificate in PEM: give --tls-cert a file with \"BEGIN CERTIFICATE\"")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file with the key holds none.
    #[error("the file {path} holds no private key in PEM: give --tls-key a file with \"BEGIN PRIVATE KEY\"")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is of another certificate.
    #[error("the key {key} does not match the certificate {cert}: give the two that were made together")]
    Mismatch {
        /// The file with the certificate.
        cert: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// Not of a kind that can be served.
    #[error("the certificate {cert} cannot be served ({cause}): make a new one with a usual kind of key")]
    Unusable {
        /// The file with the certificate.
        cert: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
}

impl Told for TlsError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "tls_unreadable",
            Self::NoCertificate { .. } => "tls_no_certificate",
            Self::NoKey { .. } => "tls_no_key",
            Self::Mismatch { .. } => "tls_mismatch",
            Self::Unusable { .. } => "tls_unusable",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        let shown = |path: &Path| path.display().to_string();
        match self {
            Self::Unreadable { path, cause } => vec![("path", shown(path)), ("cause", cause.clone())],
            Self::NoCertificate { path } | Self::NoKey { path } => vec![("path", shown(path))],
            Self::Mismatch { cert, key } => vec![("cert", shown(cert)), ("key", shown(key))],
            Self::Unusable { cert, cause } => vec![("cert", shown(cert)), ("cause", cause.clone())],
        }
    }
}

/// What tells one state of a file from another: when it was changed, its length, which file it is.
type Stamp = Option<(Option<SystemTime>, u64, u64)>;

fn stamp(path: &Path) -> Stamp {
    let data = fs::metadata(path).ok()?;
    #[cfg(unix)]
    let file = std::os::unix::fs::MetadataExt::ino(&data);
    #[cfg(not(unix))]
    let file = 0;
    Some((data.modified().ok(), data.len(), file))
}

/// The two files.
#[derive(Debug, Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn stamps(&self) -> [Stamp; 2] {
        [stamp(&self.cert), stamp(&self.key)]
    }

    /// TLS 1.2 or later, HTTP/1.1, and nothing asked of the other side: devices show tokens.
    fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let unusable = |cause: rustls::Error| TlsError::Unusable { cert: self.cert.clone(), cause: cause.to_string() };
        let (cert, key) = (read(&self.cert)?, read(&self.key)?);
        let no_certificate = || TlsError::NoCertificate { path: self.cert.clone() };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&cert).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(no_certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey { path: self.key.clone() })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.map_err(unusable)?.with_no_client_auth().with_single_cert(chain, key);
        let mut config = config.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { cert: self.cert.clone(), key: self.key.clone() },
            error => unusable(error),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |cause: String| TlsError::Unreadable { path: path.to_owned(), cause };
    let bytes = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if bytes > PEM_BYTES_MAX {
        return Err(unreadable(format!("{bytes} bytes, {PEM_BYTES_MAX} at most")));
    }
    fs::read(path).map_err(|error| unreadable(error.to_string()))
}

/// A certificate and its key as they were last read.
pub struct Tls {
    files: Files,
    current: RwLock<Arc<ServerConfig>>,
    /// What the files were when they were read.
    loaded: [Stamp; 2],
    asked: Notify,
}

impl Tls {
    /// Reads both files.
    pub fn load(settings: &TlsSettings) -> Result<Self, TlsError> {
        let files = Files { cert: PathBuf::from(&settings.cert), key: PathBuf::from(&settings.key) };
        // Before they are read: a change in between is seen as one.
        let loaded = files.stamps();
        let current = RwLock::new(files.read()?);
        Ok(Self { files, current, loaded, asked: Notify::new() })
    }

    /// For one connection, with the certificate of now.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }

    /// Has the files read at once, whether they changed or not.
    pub fn reload(&self) {
        self.asked.notify_one();
    }

    /// Reads the files again whenever they have changed, until `shutdown` turns true. New connections have what was read;
    /// files that cannot be used change nothing.
    pub async fn follow_files(&self, metrics: &Metrics, mut shutdown: watch::Receiver<bool>) {
        let (mut loaded, mut seen) = (self.loaded, self.loaded);
        loop {
            let asked = tokio::select! {
                biased;
                _ = shutdown.wait_for(|stopped| *stopped) => return,
                () = self.asked.notified() => true,
                // wait: until the files are looked at again
                () = sleep(LOOK_EVERY) => false,
            };
            let files = self.files.clone();
            let Ok(found) = spawn_blocking(move || files.stamps()).await else { continue };
            // Two files are seldom replaced at one moment: they are read when they have stayed as they are for a while.
            let settled = found == seen;
            seen = found;
            if !asked && (!settled || found == loaded) {
                continue;
            }
            loaded = found;
            let files = self.files.clone();
            let Ok(read) = spawn_blocking(move || files.read()).await else { continue };
            metrics.certificate_read(read.is_ok());
            match read {
                Ok(config) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                    tracing::info!(cert = %self.files.cert.display(), "the certificate was read anew");
                }
                Err(error) => tracing::error!(%error, "the certificate of before is kept"),
            }
        }
    }
}
