//! Where backups are: a folder or a bucket, by one interface. Must not know what they are made of.

use super::folder::{blocking, folder_error, make_closed, sweep};
use super::{BackupError, bucket};
use crate::config::BucketSettings;
use comptoir_engine::time::Timestamp;
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// The folders in a place.
const FOLDERS: [&str; 2] = ["parts", "backups"];

/// A place for backups. Clones are handles on the same one.
#[derive(Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    name: String,
    kind: Kind,
}

/// What a place is.
#[derive(Clone)]
enum Kind {
    Folder(PathBuf),
    Bucket(bucket::Keys),
}

/// A file in a place.
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) written_ms: i64,
}

impl Place {
    /// Whether a place of this name is a bucket; else it is a folder.
    pub fn is_bucket(name: &str) -> bool {
        name.starts_with(bucket::SCHEME)
    }

    /// A folder that is there, or the bucket `s3://BUCKET/PREFIX`, which is not asked for yet.
    pub fn open(name: &str, settings: &BucketSettings) -> Result<Self, BackupError> {
        if Self::is_bucket(name) {
            let (store, keys) = bucket::open(name, settings)?;
            return Ok(Self { store, name: name.to_owned(), kind: Kind::Bucket(keys) });
        }
        let (folder, name) = (Path::new(name), name.to_owned());
        match LocalFileSystem::new_with_prefix(folder) {
            // A backup is done when it would survive a power cut.
            Ok(store) => {
                Ok(Self { store: Arc::new(store.with_fsync(true)), name, kind: Kind::Folder(folder.to_owned()) })
            }
            Err(error) => Err(BackupError::Place { place: name, cause: innermost(&error) }),
        }
    }

    /// As [`Place::open`]; a folder is made where it is missing. Where parts and backups are is for its owner's eyes only, and
    /// is closed where it was not: signing keys come into it.
    pub fn make(name: &str, settings: &BucketSettings) -> Result<Self, BackupError> {
        if !Self::is_bucket(name) {
            let folder = Path::new(name);
            crate::catalog::make_private_folder(folder).map_err(|error| folder_error(folder, &error))?;
            for folder in FOLDERS.map(|each| folder.join(each)) {
                make_closed(&folder).map_err(|error| folder_error(&folder, &error))?;
            }
        }
        Self::open(name, settings)
    }

    /// The file appears as a whole, and replaces one of its name.
    pub(super) async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), BackupError> {
        self.store.put(&Location::from(name), bytes.into()).await.map(drop).map_err(|error| self.failed(&error))
    }

    /// As [`Place::write`], but one of its name stays as it is; in a bucket the last one stays, as not every server knows better.
    pub(super) async fn write_first(&self, name: &str, bytes: Vec<u8>) -> Result<(), BackupError> {
        if matches!(self.kind, Kind::Bucket(_)) {
            return self.write(name, bytes).await;
        }
        let written = self.store.put_opts(&Location::from(name), bytes.into(), PutMode::Create.into()).await;
        match written {
            Ok(_) | Err(Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
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

    /// Removes what was half-written before `before`: in a folder `NAME#1`, which is not listed; a bucket keeps nothing.
    pub(super) async fn sweep(&self, before: Timestamp) -> Result<(), BackupError> {
        let Kind::Folder(folder) = &self.kind else { return Ok(()) };
        let folders = FOLDERS.map(|each| folder.join(each)).into_iter().chain([folder.clone()]).collect::<Vec<_>>();
        let before = UNIX_EPOCH + Duration::from_millis(u64::try_from(before.unix_ms).unwrap_or(0));
        let is_left = |name: &str| {
            let number = name.rsplit_once('#').map(|(_, number)| number);
            number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let swept = move || {
            folders.iter().try_for_each(|folder| match sweep(folder, is_left, before) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(folder_error(folder, &error)),
                _ => Ok(()),
            })
        };
        blocking(swept).await
    }

    pub(super) fn damaged(&self, what: String) -> BackupError {
        BackupError::Damaged { place: self.name.clone(), what }
    }

    fn failed(&self, error: &Error) -> BackupError {
        match &self.kind {
            Kind::Folder(_) => BackupError::Place { place: self.name.clone(), cause: innermost(error) },
            Kind::Bucket(keys) => bucket::failed(&self.name, *keys, error),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The innermost cause: what the system said.
pub(super) fn innermost(error: &Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
