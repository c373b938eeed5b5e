//! What a device stands on: where its store lies, what time it is, where chance comes from, and how the relay is reached.
//! A phone brings its own, and so does a simulation. Must not know what any of it is used for.

use crate::error::Error;
use comptoir_engine::disk::{self, CACHE_BYTES, Opened, StoreKind};
use comptoir_engine::{StoreError, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Bytes both ways, in order.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection that is being opened. Dropping it gives the attempt up.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// What a device stands on. Waits are measured by tokio's clock.
pub trait Machine: Send + 'static {
    /// Opens the store's disk; makes one where there is none only if `make` says so. Called again after each failure of
    /// the disk, with every handle from before dropped by then.
    fn open(&mut self, make: bool) -> Result<Opened, Error>;

    /// The wall clock; may jump.
    fn wall(&self) -> Timestamp;

    /// A source of chance; another one with each call.
    fn rng(&mut self) -> StdRng;

    /// Begins to connect.
    fn connect(&self, host: String, port: u16) -> Connecting;

    /// The certificates, in PEM, of which one has to vouch for a relay at a `wss://` address; `None`: those the system
    /// believes.
    fn relay_ca(&self) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    /// Keeps what [`Machine::relay_ca`] answers from then on.
    fn keep_relay_ca(&mut self, _: Option<&[u8]>) -> Result<(), Error> {
        Err(Error::RelayCa { cause: "this machine keeps no certificates".to_owned() })
    }
}

/// What the system's clock says.
pub fn system_time() -> Timestamp {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { unix_ms: i64::try_from(unix.as_millis()).unwrap_or(i64::MAX) }
}

/// Begins to connect by the system's TCP.
pub fn tcp(host: String, port: u16) -> Connecting {
    Box::pin(async move {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream) as Box<dyn Stream>)
    })
}

/// This computer, with the store in a folder.
pub(crate) struct Computer {
    pub(crate) dir: PathBuf,
    /// What a new store is to be kept in, or the one there has to be kept in.
    pub(crate) kind: Option<StoreKind>,
}

impl Computer {
    fn relay_ca_file(&self) -> PathBuf {
        self.dir.join("relay-ca.pem")
    }
}

impl Machine for Computer {
    fn open(&mut self, make: bool) -> Result<Opened, Error> {
        if !make && !self.dir.join("format").exists() {
            // Opening would make a folder; only `init` does that.
            return Err(StoreError::NotInitialised.into());
        }
        Ok(disk::open(&self.dir, self.kind, CACHE_BYTES).map_err(StoreError::from)?)
    }

    fn wall(&self) -> Timestamp {
        system_time()
    }

    fn rng(&mut self) -> StdRng {
        StdRng::from_rng(&mut rand::rng())
    }

    fn connect(&self, host: String, port: u16) -> Connecting {
        tcp(host, port)
    }

    fn relay_ca(&self) -> Result<Option<Vec<u8>>, Error> {
        let path = self.relay_ca_file();
        match std::fs::read(&path) {
            Ok(pem) => Ok(Some(pem)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::File { path, cause: error.to_string() }),
        }
    }

    fn keep_relay_ca(&mut self, pem: Option<&[u8]>) -> Result<(), Error> {
        let path = self.relay_ca_file();
        let kept = match pem {
            Some(pem) => keep(&self.dir, &path, pem),
            None => match std::fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
        };
        kept.map_err(|error| Error::File { path, cause: error.to_string() })
    }
}

/// Puts a small file into a folder, as a whole or not at all.
fn keep(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
