//! Making a log out of a backup: every digest has to come out as it was. Must not know how backups are taken.

use super::feed::{Compared, Cut, Feed};
use super::folder::{blocking, clear, folder_error};
use super::manifest::{self, Lack, Manifest};
use super::{BackupError, Part, Place, Scratch, parts};
use crate::catalog::{Catalog, make_private_folder};
use crate::log::{Rebuild, Standing};
use comptoir_engine::disk::{self, CACHE_BYTES, StoreKind};
use comptoir_engine::id::WorkspaceId;
use comptoir_engine::time::Timestamp;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// A relay's data folder to be made out of a backup.
#[derive(Debug, Clone, Default)]
pub struct Restore {
    /// The newest backup that was taken by then; `None`: the newest.
    pub by: Option<Timestamp>,
    /// What of it.
    pub cut: Cut,
    /// What shall keep the log.
    pub store: Option<StoreKind>,
}

/// What came out of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The backup's name.
    pub name: String,
    /// When it was taken.
    pub made: String,
    /// Each workspace, with the last entry of the log it had.
    pub workspaces: Vec<(WorkspaceId, Standing)>,
    /// What was damaged when it was taken.
    pub lacks: Vec<Lack>,
}

impl Restore {
    /// Makes the folder `data`, which must be missing or empty, with the log in `data/log` and the keys in `data/keys`. Each
    /// log gets a new epoch, so that devices compare their histories with it and bring back what came after the backup.
    /// Nothing is seen of it before all of it is there and has the digests it had.
    pub async fn run(self, place: &Place, data: &Path, now: Timestamp) -> Result<Restored, BackupError> {
        let is_empty = fs::read_dir(data)
            .map_or_else(|error| error.kind() == ErrorKind::NotFound, |mut entries| entries.next().is_none());
        if !is_empty {
            return Err(BackupError::NotEmpty { path: data.to_owned() });
        }
        let found = manifest::newest(place, self.by).await?;
        let (name, manifest) = found.ok_or_else(|| BackupError::NoBackup { place: place.to_string() })?;
        // Without a slash at its end, and beside the folder also where that is `.`.
        let data = std::path::absolute(data).map_err(|error| folder_error(data, &error))?;
        let data = &data.components().collect::<PathBuf>();
        let mut draft = data.as_os_str().to_owned();
        draft.push(".restoring");
        let draft = PathBuf::from(draft);
        clear(&draft).await?;
        // Not after hours of work: the folder goes in place once before, empty.
        let not_replaceable =
            |error: &io::Error| BackupError::NotReplaceable { path: data.clone(), cause: error.to_string() };
        let was_there = data.exists();
        make_private_folder(&draft).map_err(|error| not_replaceable(&error))?;
        put_in_place(&draft, data).map_err(|error| not_replaceable(&error))?;
        if !was_there {
            fs::remove_dir(data).map_err(|error| not_replaceable(&error))?;
        }
        let only = self.cut.workspace.clone();
        let rebuilt = rebuild(place, &manifest, &draft, self.store, self.cut, now).await;
        if rebuilt.is_err() {
            // It is of no use, and the error is the one to tell.
            let _ = clear(&draft).await;
        }
        let workspaces = rebuilt?;
        put_in_place(&draft, data).map_err(|error| not_replaceable(&error))?;
        let Manifest { made, mut lacks, .. } = manifest;
        lacks.retain(|lack| only.as_ref().is_none_or(|only| only.as_str() == lack.workspace));
        Ok(Restored { name, made, workspaces, lacks })
    }
}

/// Makes a log and keys in the folder `draft`: all that is wanted is whole.
async fn rebuild(
    place: &Place,
    manifest: &Manifest,
    draft: &Path,
    store: Option<StoreKind>,
    cut: Cut,
    now: Timestamp,
) -> Result<Vec<(WorkspaceId, Standing)>, BackupError> {
    let mut states = manifest.standings(place)?;
    if let Some(workspace) = &cut.workspace {
        states.retain(|(each, _)| each == workspace);
        states.first().ok_or_else(|| BackupError::NoWorkspace { workspace: workspace.clone() })?;
    }
    if cut.through.is_some() && states.len() != 1 {
        return Err(BackupError::WhichWorkspace { workspaces: states.len() });
    }
    make_private_folder(draft).map_err(|error| folder_error(draft, &error))?;
    let mut feed = open(place, draft, store, cut, now).await?;
    for part in &manifest.parts {
        feed = feed_part(place, part, feed).await?.whole()?;
    }
    import_keys(place, &manifest.keys, draft).await?;
    let compared = blocking(move || feed.compare(states)).await?;
    compared.into_iter().map(|(workspace, found)| Ok((workspace, found.map_err(|what| place.damaged(what))?))).collect()
}

/// Begins a log in the folder `draft`.
pub(super) async fn open(
    place: &Place,
    draft: &Path,
    store: Option<StoreKind>,
    cut: Cut,
    now: Timestamp,
) -> Result<Feed, BackupError> {
    let log = draft.join("log");
    let opened = blocking(move || Ok(disk::open(&log, store, CACHE_BYTES)?)).await?;
    Ok(Feed::new(Rebuild::new(opened.disk, now), cut, &place.to_string()))
}

/// A log after one more part, and what was wrong with that.
pub(super) struct Fed {
    pub(super) feed: Feed,
    pub(super) fault: Option<BackupError>,
}

impl Fed {
    fn whole(self) -> Result<Feed, BackupError> {
        self.fault.map_or(Ok(self.feed), Err)
    }
}

/// Reads a part and adds its entries. An error that is not the part's alone ends it.
pub(super) async fn feed_part(place: &Place, part: &Part, mut feed: Feed) -> Result<Fed, BackupError> {
    let bytes = match parts::read(place, part).await {
        Err(fault @ BackupError::Damaged { .. }) => return Ok(Fed { feed, fault: Some(fault) }),
        bytes => bytes?,
    };
    let (place, part) = (place.clone(), part.clone());
    blocking(move || {
        let fed = parts::whole(&place, &part, &bytes).and_then(|()| feed.part(&bytes));
        match fed {
            Err(fault @ (BackupError::Damaged { .. } | BackupError::NewerFormat { .. })) => {
                Ok(Fed { feed, fault: Some(fault) })
            }
            fed => fed.map(|()| Fed { feed, fault: None }),
        }
    })
    .await
}

/// Reads the signing keys into `draft`.
pub(super) async fn import_keys(place: &Place, part: &Part, draft: &Path) -> Result<(), BackupError> {
    let bytes = parts::read(place, part).await?;
    let (place, part, keys) = (place.clone(), part.clone(), draft.join("keys"));
    blocking(move || {
        parts::whole(&place, &part, &bytes)?;
        Ok(Catalog::import(&keys, &parts::keys(&place, &bytes)?)?)
    })
    .await
}

/// Whether a log can be made of this backup: it is made, in a scratch folder. Each workspace as it came out; what is wrong
/// with the place itself is an error.
pub(super) async fn try_out(
    place: &Place,
    manifest: &Manifest,
    scratch: &Scratch,
    now: Timestamp,
) -> Result<Vec<Compared>, BackupError> {
    scratch.make().await?;
    let tried = async {
        let states = manifest.standings(place)?;
        let mut feed = open(place, scratch.folder(), None, Cut::default(), now).await?;
        for part in &manifest.parts {
            scratch.check()?;
            feed = feed_part(place, part, feed).await?.whole()?;
        }
        import_keys(place, &manifest.keys, scratch.folder()).await?;
        blocking(move || feed.compare(states)).await
    };
    scratch.remove(tried.await).await
}

/// From one moment to the next the folder is there.
fn put_in_place(draft: &Path, data: &Path) -> io::Result<()> {
    match fs::remove_dir(data) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => fs::rename(draft, data)?,
    }
    let above = data.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(above)?.sync_all() } else { Ok(()) }
}
