//! Pairing: a code that the relay's operator gave out becomes this device's token. Must not know stores.

use super::Comptoir;
use crate::error::Error;
use crate::machine::Computer;
use crate::socket::{self, Counters, Heard};
use comptoir_engine::WorkspaceId;
use comptoir_engine::wire::message::{CODE_BYTES_MAX, FromDevice, FromRelay, Paired};
use std::path::PathBuf;
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
    pub async fn pair(link: &str) -> Result<Pairing, Error> {
        let parsed = Link::parse(link).ok_or_else(|| Error::Link { link: link.to_owned() })?;
        let (tell, answer) = oneshot::channel();
        let spawned = std::thread::Builder::new().name("comptoir-pair".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let paired = match runtime {
                Ok(runtime) => runtime.block_on(fetch(parsed)),
                Err(cause) => Err(cause.to_string()),
            };
            // Who asked may have gone.
            drop(tell.send(paired));
        });
        spawned.map_err(|cause| Error::Pair { cause: cause.to_string() })?;
        answer.await.map_err(|_| Error::ShutDown)?.map_err(|cause| Error::Pair { cause })
    }
}

async fn fetch(link: Link) -> Result<Pairing, String> {
    let computer = Computer { dir: PathBuf::new(), kind: None };
    let mut connection = socket::connect(&link.relay, Counters::default(), &computer);
    let Link { relay, code } = link;
    let answered = async {
        while let Some(heard) = connection.heard.recv().await {
            match heard {
                Heard::Connected => {
                    let ask = FromDevice::Pair { code: code.clone() }.encode().map_err(|error| error.to_string())?;
                    // A connection that has ended says so next.
                    let _ = connection.frames.send(ask).await;
                }
                Heard::Frame(frame) => return FromRelay::decode(&frame).map_err(|error| error.to_string()),
                Heard::Closed { cause } => return Err(cause),
            }
        }
        Err("the connection ended".to_owned())
    };
    let late = |_| format!("the relay did not answer within {} s", PAIR_TIMEOUT.as_secs());
    match timeout(PAIR_TIMEOUT, answered).await.map_err(late)?? {
        FromRelay::Paired(Paired { workspace, token }) => {
            let workspace = WorkspaceId::new(&workspace).map_err(|error| error.to_string())?;
            Ok(Pairing { workspace, relay, token })
        }
        FromRelay::Denied(denial) => Err(denial.to_string()),
        _ => Err("the relay answered something else: upgrade the older side".to_owned()),
    }
}
