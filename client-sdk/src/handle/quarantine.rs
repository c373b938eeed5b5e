//! Changes set aside, on the public face. Must not know why they were.

use super::Comptoir;
use crate::error::Error;
use comptoir_engine::{Quarantined, RecordId};

impl Comptoir {
    /// Every change set aside, with its reason.
    pub async fn quarantine(&self) -> Result<Vec<Quarantined>, Error> {
        self.with(|engine, _| engine.quarantine()).await
    }

    /// Tries a record's changes again that were set aside; what is refused again is set aside again. Durable when it
    /// returns.
    pub async fn retry(&self, collection: &str, key: &str) -> Result<(), Error> {
        let record = RecordId::new(collection, key)?;
        self.with(move |engine, now| engine.retry(&record, now)).await
    }

    /// Gives up a record's changes that were made here and that the relay refused: the record is as it was without them.
    /// Durable when it returns.
    pub async fn discard(&self, collection: &str, key: &str) -> Result<(), Error> {
        let record = RecordId::new(collection, key)?;
        self.with(move |engine, _| engine.discard(&record)).await
    }
}
