//! Keeps the public keys of an app's own login fresh: from a file that changes, or from a URL. Must not know what is signed.

use crate::auth::{JWKS_BYTES_MAX, JwksError, Logins};
use crate::config::JwtSettings;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

/// A file is looked at so often.
const FILE_LOOK: Duration = Duration::from_secs(2);
/// A URL is asked so often.
const URL_ASK: Duration = Duration::from_secs(600);
/// And not sooner than this after the last time, however many tokens name keys that are not there.
const URL_REST: Duration = Duration::from_secs(10);
/// Time for the answer of a URL.
const URL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where keys come from.
pub enum Jwks {
    /// A file.
    File(String),
    /// An address.
    Url {
        /// It.
        url: String,
        /// Asks it.
        client: reqwest::Client,
    },
}

impl Jwks {
    /// The login as the settings say, with its keys read.
    pub async fn open(settings: &JwtSettings) -> Result<(Arc<Logins>, Self), JwksError> {
        let (logins, jwks) = (Arc::new(Logins::new(settings.clone())), Self::new(&settings.jwks)?);
        jwks.load(&logins).await?;
        Ok((logins, jwks))
    }

    /// As the settings say: `https://`, `http://` on this machine, or a file.
    pub fn new(place: &str) -> Result<Self, JwksError> {
        let is_url = place.starts_with("https://")
            || ["http://127.0.0.1:", "http://[::1]:", "http://localhost:"].iter().any(|here| place.starts_with(here));
        if !is_url {
            return Ok(Self::File(place.to_owned()));
        }
        // Of two in one program the first stays, and both are the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(URL_TIMEOUT).connect_timeout(URL_TIMEOUT);
        // Keys are believed because of where they come from.
        let client = client.redirect(reqwest::redirect::Policy::none()).build();
        let client = client.map_err(|error| unreadable(place, &error))?;
        Ok(Self::Url { url: place.to_owned(), client })
    }

    async fn read(&self) -> Result<Vec<u8>, JwksError> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                let read = spawn_blocking(move || read_file(&path)).await;
                read.unwrap_or_else(|error| {
                    Err(JwksError::Unreadable { place: "file".to_owned(), cause: error.to_string() })
                })
            }
            Self::Url { url, client } => fetch(url, client).await,
        }
    }

    /// Reads the keys and hands them over.
    pub async fn load(&self, logins: &Logins) -> Result<(), JwksError> {
        logins.set_keys(&self.read().await?)
    }

    /// Goes on doing so until the relay stops. What fails is told, and the keys stay those of before.
    pub async fn keep(self, logins: Arc<Logins>, mut shutdown: watch::Receiver<bool>) {
        let (every, rest) = match self {
            Self::File(_) => (FILE_LOOK, FILE_LOOK),
            Self::Url { .. } => (URL_ASK, URL_REST),
        };
        let mut failing = false;
        loop {
            let last = Instant::now();
            let due = tokio::select! {
                _ = shutdown.wait_for(|stopped| *stopped) => return,
                // wait: the time of one look to the next
                () = sleep_until(last + every) => last,
                // Strangers' tokens make nobody ask all the time.
                () = logins.unknown_key() => last + rest,
            };
            tokio::select! {
                _ = shutdown.wait_for(|stopped| *stopped) => return,
                // wait: as above
                () = sleep_until(due) => {}
            }
            let done = self.load(&logins).await;
            if let (Err(error), false) = (&done, failing) {
                tracing::error!(%error, "the keys of the login stay as they were");
            }
            failing = done.is_err();
        }
    }
}

fn unreadable(place: &str, cause: &dyn std::fmt::Display) -> JwksError {
    JwksError::Unreadable { place: place.to_owned(), cause: cause.to_string() }
}

fn read_file(path: &str) -> Result<Vec<u8>, JwksError> {
    let bytes = fs::metadata(Path::new(path)).map_err(|error| unreadable(path, &error))?.len();
    if bytes > JWKS_BYTES_MAX {
        return Err(unreadable(path, &format!("{bytes} bytes, {JWKS_BYTES_MAX} at most")));
    }
    fs::read(path).map_err(|error| unreadable(path, &error))
}

async fn fetch(url: &str, client: &reqwest::Client) -> Result<Vec<u8>, JwksError> {
    let asked = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let mut answer = asked.map_err(|error| unreadable(url, &error))?;
    let mut json = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreadable(url, &error))? {
        json.extend_from_slice(&chunk);
        if json.len() as u64 > JWKS_BYTES_MAX {
            return Err(unreadable(url, &format!("more than {JWKS_BYTES_MAX} bytes")));
        }
    }
    Ok(json)
}
