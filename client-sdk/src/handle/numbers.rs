//! Number series on the public face: receipts numbered while offline. Must not know how a series is claimed.

use super::Comptoir;
use crate::error::Error;
use comptoir_engine::{Collection, Series, SeriesAudit, SeriesName};

impl Comptoir {
    /// Claims a series for this device alone, so that its numbers bear the name itself (`T1-000001`). The claim is settled
    /// when the device is next up to date; until then, and for good where another device has claimed the name, numbers
    /// bear a tag as well (`T1.5C9A02F1-000001`). Numbers are given by [`FieldEdit::Number`](crate::FieldEdit::Number).
    pub async fn claim_series(&self, name: &str) -> Result<Series, Error> {
        let name = SeriesName::new(name)?;
        self.with(move |engine, now| engine.claim_series(&name, now)).await
    }

    /// The series this device counts in.
    pub async fn series(&self) -> Result<Vec<Series>, Error> {
        self.with(|engine, _| engine.series()).await
    }

    /// Looks through a field of a collection's records, deleted ones too, for gaps and for numbers given twice.
    pub async fn audit(&self, collection: &str, field: &str) -> Result<Vec<SeriesAudit>, Error> {
        let (collection, field) = (Collection::new(collection)?, field.to_owned());
        self.with(move |engine, _| engine.audit(&collection, &field)).await
    }
}
