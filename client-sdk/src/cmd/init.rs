//! `comptoir init`.

use super::Place;
use super::output::Output;
use crate::error::Error;
use crate::handle::{Comptoir, Pairing};
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::disk::StoreKind;
use comptoir_engine::{Settings, WorkspaceId};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct Init {
    #[arg(long, required_unless_present = "pair", help = text("arg.workspace"))]
    workspace: Option<String>,
    #[arg(long, default_value = "", help = text("arg.relay"))]
    relay: String,
    #[arg(long, conflicts_with_all = ["workspace", "relay"], help = text("arg.pair"))]
    pair: Option<String>,
    #[arg(long, default_value = "", env = "COMPTOIR_TOKEN", hide_env_values = true, help = text("arg.token"))]
    token: String,
    #[arg(long, value_name = text("arg.file-name"), env = "COMPTOIR_RELAY_CA", help = text("arg.relay-ca"))]
    relay_ca: Option<PathBuf>,
    #[arg(long, help = text("arg.device-name"))]
    device_name: Option<String>,
    #[arg(long, value_name = text("arg.kind-name"), help = text("arg.store-kind"))]
    store_kind: Option<StoreKind>,
}

impl Init {
    pub(super) async fn run(self, place: &Place, output: &Output) -> Result<(), Error> {
        if !self.relay.is_empty() && !crate::socket::is_address(&self.relay) {
            return Err(Error::Address { address: self.relay });
        }
        let relay_ca = self.relay_ca.as_deref().map(read).transpose()?;
        let paired = match &self.pair {
            Some(link) => Some(Comptoir::pair(link, relay_ca.clone()).await?),
            None => None,
        };
        let device_name = self.device_name.or_else(|| std::env::var("HOSTNAME").ok());
        let device_name = device_name.unwrap_or_else(|| "device".to_owned());
        let settings = match paired {
            Some(Pairing { workspace, relay, token }) => Settings { workspace, relay, token, device_name },
            None => Settings {
                workspace: WorkspaceId::new(self.workspace.as_deref().unwrap_or_default())?,
                relay: self.relay,
                token: self.token,
                device_name,
            },
        };
        let shop = match self.store_kind {
            Some(kind) => Comptoir::init_on(&place.store, kind, settings).await?,
            None => Comptoir::init(&place.store, settings).await?,
        };
        shop.trust_relay(relay_ca).await?;
        let status = shop.status().await?;
        shop.shut_down().await?;
        let (workspace, device) = (status.settings.workspace.to_string(), status.device.to_string());
        let store = place.store.display().to_string();
        output.say(
            || text_with("said.init", &[("workspace", workspace.clone()), ("store", store.clone())]),
            || json!({"workspace": workspace, "device": device, "store": store}),
        );
        Ok(())
    }
}

/// The certificates in a file, which are tried, so that nothing is made before they can be used.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let unusable = |cause: String| Error::File { path: path.to_owned(), cause };
    let bytes = fs::metadata(path).map_err(|error| unusable(error.to_string()))?.len();
    if bytes > crate::tls::RELAY_CA_BYTES_MAX {
        return Err(unusable(format!("{bytes} bytes, {} at most", crate::tls::RELAY_CA_BYTES_MAX)));
    }
    let pem = fs::read(path).map_err(|error| unusable(error.to_string()))?;
    crate::tls::check(&pem)?;
    Ok(pem)
}
