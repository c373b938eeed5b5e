//! The whole store as one stream, for its owner. Must not know where it goes.

use super::Engine;
use crate::archive::Contents;
use crate::store::StoreError;
use std::io::Write;

impl Engine {
    /// Writes all of the store as a backup; [`crate::store::restore`] makes a store of it. Nothing else is done meanwhile.
    pub fn back_up(&self, out: impl Write) -> Result<Contents, StoreError> {
        self.store.back_up(out)
    }
}
