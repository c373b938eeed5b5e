//! Copying a store into one of another kind. Must not know what a kind keeps where.

use super::Comptoir;
use crate::error::Error;
use comptoir_engine::disk::{self, CACHE_BYTES, Copied, StoreKind};
use comptoir_engine::{Engine, StoreError};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::path::Path;

impl Comptoir {
    /// Copies the store in a folder, which nobody may have open, into one of the kind `to`, and puts that in its place when
    /// it holds the same rows and has the same digest; `None` when it is of that kind already. Needs room for both. A
    /// failure or a killed process leaves the store as it was. The store stays the same installation, under the same author.
    pub async fn migrate_store(dir: &Path, to: StoreKind) -> Result<Option<Copied>, Error> {
        let dir = dir.to_owned();
        if !dir.join("format").exists() {
            return Err(StoreError::NotInitialised.into());
        }
        let copied = tokio::task::spawn_blocking(move || {
            let mut rng = StdRng::from_rng(&mut rand::rng());
            disk::migrate(&dir, to, CACHE_BYTES, |opened| {
                let engine = Engine::open(opened.disk, &opened.identity, &mut rng)?;
                Ok::<_, StoreError>(engine.status().digest.to_string())
            })
        });
        Ok(copied.await.map_err(|_| Error::ShutDown)??)
    }
}
