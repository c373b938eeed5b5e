//! Who an author is: every device writes its name under its actor id into the collection `_devices`, in the transaction of
//! its first edit under that actor or a new name. Must not know what is shown.

use super::local::{check_size, join};
use super::rows::{CollectionRow, IdentityRow, OutboxRow};
use super::{Store, StoreError, keys, missing, put_row, read_row};
use crate::change::Change;
use crate::disk::txn::Txn;
use crate::id::{ActorId, Collection, RecordId};
use crate::record::{FieldEdit, Fields, Value};
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// The collection of device names, by actor id in hexadecimal digits; fields `name` and `device`.
pub const DEVICES: &str = "_devices";
/// What is written of a longer name, in bytes.
const DEVICE_NAME_BYTES_MAX: usize = 200;

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// A device, by the name it has last given itself.
    Device {
        /// What people call it.
        name: String,
        /// Its id.
        device: String,
    },
    /// A device whose name has not arrived here.
    Unnamed(ActorId),
    /// Nobody: every device that imports the same row makes the same change.
    Imported,
}

impl Store {
    /// Adds the device's name to a transaction of its own changes, where it is not known under this actor yet. Returns the
    /// name that is known once the transaction is durable. A name is never a reason to refuse an edit.
    pub(super) fn announce(
        &self,
        tx: &mut Txn<'_>,
        collections: &mut BTreeMap<Collection, CollectionRow>,
        row: &mut OutboxRow,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let name = cut(&self.settings.device_name);
        let authored = |bytes: &[u8]| Change::parse(bytes).is_ok_and(|change| change.parts().actor == self.actor);
        if self.announced.as_deref() == Some(name) || !row.changes.iter().any(|change| authored(&change.bytes)) {
            return Ok(self.announced.clone());
        }
        let record = device_row(&self.actor)?;
        if self.state.quarantined > 0 && self.has_own_quarantined(&record)? {
            return Ok(self.announced.clone());
        }
        let mut draft = self.open_draft(&record)?;
        let text = |text: &str| Value::String(text.to_owned());
        let device = self.device.to_string();
        let fields: Fields = [("name".to_owned(), text(name)), ("device".to_owned(), text(&device))].into();
        // As an import, so that a store that was set back writes the same row again and not another under one number.
        let time_s = now.unix_ms.div_euclid(1000);
        let import = [FieldEdit::Import(fields)];
        let edited = draft.document()?.edit(&self.actor, time_s, "", &import, self.shape(&record.collection));
        let Ok((document, changes)) = edited else {
            return Ok(self.announced.clone());
        };
        let before = row.changes.len();
        if join(row, &mut draft, &record, &changes).is_err() || check_size(row).is_err() {
            row.changes.truncate(before);
            return Ok(self.announced.clone());
        }
        if !changes.is_empty() {
            self.write_draft(tx, collections, &record, draft, &document.into())?;
        }
        let known: Option<IdentityRow> = read_row(&*self.disk, &keys::identity())?;
        let identity = known.ok_or_else(|| missing("its identity"))?;
        put_row(tx, keys::identity(), &IdentityRow { announced: Some(name.to_owned()), ..identity })?;
        Ok(Some(name.to_owned()))
    }

    /// Who `actor` is.
    pub fn author(&self, actor: &ActorId) -> Result<Author, StoreError> {
        if actor.is_derived() {
            return Ok(Author::Imported);
        }
        let Some(view) = self.get(&device_row(actor)?)? else { return Ok(Author::Unnamed(actor.clone())) };
        let text = |field: &str| match view.fields.get(field) {
            Some(Value::String(text)) => text.clone(),
            _ => String::new(),
        };
        Ok(Author::Device { name: text("name"), device: text("device") })
    }
}

fn device_row(actor: &ActorId) -> Result<RecordId, StoreError> {
    Ok(RecordId::new(DEVICES, &format!("{actor:?}"))?)
}

fn cut(name: &str) -> &str {
    let mut end = name.len().min(DEVICE_NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default()
}
