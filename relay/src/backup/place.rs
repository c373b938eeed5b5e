//! Where backups are: a folder, by the same interface as a bucket. Must not know what they are made of.

use super::BackupError;
use crate::catalog::make_private_folder;
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{Error, ObjectStore, ObjectStoreExt as _};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A place for backups. Clones are handles on the same one.
#[derive(Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    name: String,
}

/// A file in a place.
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) written_ms: i64,
}

impl Place {
    /// A folder that is there.
    pub fn open(name: &str) -> Result<Self, BackupError> {
        let (folder, name) = (Path::new(name), name.to_owned());
        match LocalFileSystem::new_with_prefix(folder) {
            // A backup is done when it would survive a power cut.
            Ok(store) => Ok(Self { store: Arc::new(store.with_fsync(true)), name }),
            Err(error) => Err(BackupError::Place { place: name, cause: cause(&error) }),
        }
    }

    /// A folder, which is made where it is missing. What is made is for its owner's eyes only: signing keys come into it.
    pub fn make(name: &str) -> Result<Self, BackupError> {
        for folder in ["", "parts", "backups"] {
            make_private_folder(&Path::new(name).join(folder))
                .map_err(|error| BackupError::Place { place: name.to_owned(), cause: error.to_string() })?;
        }
        Self::open(name)
    }

    pub(super) async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), BackupError> {
        self.store.put(&Location::from(name), bytes.into()).await.map(drop).map_err(|error| self.failed(&error))
    }

    /// The file's content; `None` when there is none. One longer than `bytes_max` is damaged.
    pub(super) async fn read(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, BackupError> {
        let found = match self.store.get(&Location::from(name)).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed(&error)),
        };
        if found.meta.size > bytes_max {
            return Err(self.damaged(format!("{name} has {} bytes", found.meta.size)));
        }
        found.bytes().await.map(|bytes| Some(bytes.into())).map_err(|error| self.failed(&error))
    }

    /// All files in a folder of the place.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Stored>, BackupError> {
        let listed = self.store.list(Some(&Location::from(folder)));
        let direct = listed.try_filter(|meta| std::future::ready(meta.location.parts().count() == 2));
        let stored = direct.map_ok(|meta| Stored {
            name: meta.location.filename().unwrap_or_default().to_owned(),
            bytes: meta.size,
            written_ms: meta.last_modified.timestamp_millis(),
        });
        stored.try_collect().await.map_err(|error| self.failed(&error))
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), BackupError> {
        match self.store.delete(&Location::from(name)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn damaged(&self, what: String) -> BackupError {
        BackupError::Damaged { place: self.name.clone(), what }
    }

    fn failed(&self, error: &Error) -> BackupError {
        BackupError::Place { place: self.name.clone(), cause: cause(error) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The innermost cause: what the system said.
fn cause(error: &Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
