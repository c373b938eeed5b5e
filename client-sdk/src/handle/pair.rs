//! Pairing: a code that the relay's operator gave out becomes this device's token. Must not know stores.

use super::Comptoir;
use crate::error::Error;
use crate::machine::{Connecting, Machine, system_time, tcp};
use crate::socket::{self, Counters, Heard};
use comptoir_engine::codec::CodecError;
use comptoir_engine::disk::Opened;
use comptoir_engine::wire::message::{CODE_BYTES_MAX, FromDevice, FromRelay, Paired};
use comptoir_engine::{StoreError, Timestamp, WorkspaceId};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Time to reach the relay and for its answer.
const PAIR_TIMEOUT: Duration = Duration::from_secs(20);
/// What stands between the relay's address and the code in a link.
const BETWEEN: &str = "/pair#";

/// What a new device needs for [`crate::Settings`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairing {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The relay's address.
    pub relay: String,
    /// The token.
    pub token: String,
}

/// A link as `comptoir-relay pair` shows it: address and code.
struct Link {
    relay: String,
    code: String,
}

impl Link {
    fn parse(link: &str) -> Option<Self> {
        let (relay, code) = link.trim().split_once(BETWEEN)?;
        let is_code = !code.is_empty() && code.len() <= CODE_BYTES_MAX;
        let link = Self { relay: relay.to_owned(), code: code.to_owned() };
        (is_code && socket::is_address(relay)).then_some(link)
    }
}

impl Comptoir {
    /// Fetches the token that a pairing link was given out for: the link that `comptoir-relay pair` shows, as text or as a
    /// picture. Good once, and for minutes. Nothing is stored: what comes back is for [`Comptoir::init`].
    /// `relay_ca`: certificates in PEM, the only ones that may vouch for a relay at `wss://`; those the system trusts without.
    pub async fn pair(link: &str, relay_ca: Option<Vec<u8>>) -> Result<Pairing, Error> {
        let parsed = Link::parse(link).ok_or_else(|| Error::Link { link: link.to_owned() })?;
        let (tell, answer) = oneshot::channel();
        let spawned = std::thread::Builder::new().name("comptoir-pair".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let paired = match runtime {
                Ok(runtime) => runtime.block_on(fetch(parsed, relay_ca)),
                Err(cause) => Err(Error::Pair { cause: cause.to_string() }),
            };
            // Who asked may have gone.
            drop(tell.send(paired));
        });
        spawned.map_err(|cause| Error::Pair { cause: cause.to_string() })?;
        answer.await.map_err(|_| Error::ShutDown)?
    }
}

/// A machine that has no store yet.
struct Network {
    relay_ca: Option<Vec<u8>>,
}

impl Machine for Network {
    fn open(&mut self, _: bool) -> Result<Opened, Error> {
        Err(StoreError::NotInitialised.into())
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
        Ok(self.relay_ca.clone())
    }
}

async fn fetch(link: Link, relay_ca: Option<Vec<u8>>) -> Result<Pairing, Error> {
    let mut connection = socket::connect(&link.relay, Counters::default(), &Network { relay_ca });
    let Link { relay, code } = link;
    let unread = |error: CodecError| Error::Pair { cause: error.to_string() };
    let answered = async {
        while let Some(heard) = connection.heard.recv().await {
            match heard {
                Heard::Connected => {
                    let ask = FromDevice::Pair { code: code.clone() }.encode().map_err(unread)?;
                    // A connection that has ended says so next.
                    let _ = connection.frames.send(ask).await;
                }
                Heard::Frame(frame) => return FromRelay::decode(&frame).map_err(unread),
                Heard::Closed { cause } => return Err(Error::Pair { cause }),
                Heard::Untrusted { address, cause } => return Err(Error::Untrusted { address, cause }),
            }
        }
        Err(Error::Pair { cause: "the connection ended".to_owned() })
    };
    let late = |_| Error::Pair { cause: format!("the relay did not answer within {} s", PAIR_TIMEOUT.as_secs()) };
    match timeout(PAIR_TIMEOUT, answered).await.map_err(late)?? {
        FromRelay::Paired(Paired { workspace, token }) => {
            let workspace = WorkspaceId::new(&workspace)?;
            Ok(Pairing { workspace, relay, token })
        }
        FromRelay::Denied(denial) => Err(Error::Pair { cause: denial.to_string() }),
        _ => Err(Error::Pair { cause: "the relay answered something else: upgrade the older side".to_owned() }),
    }
}
