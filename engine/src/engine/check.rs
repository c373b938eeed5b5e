//! The store looked through for its owner. Must not know how.

use super::Engine;
use crate::store::{Checked, StoreError};

impl Engine {
    /// Whether the rows of the store fit each other; errors say what does not. Some ten microseconds a record.
    pub fn check_rows(&self) -> Result<Checked, StoreError> {
        self.store.check_rows()
    }

    /// As [`Engine::check_rows`], and whether each record is what its history makes it.
    pub fn check(&self) -> Result<Checked, StoreError> {
        self.store.check()
    }
}
