//! Making a log out of a backup: every change is hashed and asked about again, and every digest has to come out as it was.
//! Must not know how backups are taken.

use super::manifest::{self, Manifest};
use super::parts::{self, Row, each_row};
use super::{BackupError, Place, in_place};
use crate::catalog::{Catalog, make_private_folder};
use crate::log::{LogError, Rebuild, Standing};
use comptoir_engine::disk::{self, CACHE_BYTES, StoreKind};
use comptoir_engine::id::{LogSeq, WorkspaceId};
use comptoir_engine::time::Timestamp;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use tokio::task::spawn_blocking;

/// Entries are added to the new log so many bytes at a time.
const GROUP_BYTES: usize = 1 << 20;
/// What an entry takes in memory besides its bytes, at the least.
const ROW_BYTES: usize = 64;

/// What of a backup is wanted; all of it by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// This workspace alone.
    pub workspace: Option<WorkspaceId>,
    /// Its log through this entry.
    pub through: Option<LogSeq>,
}

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
        let restored = rebuild(place, &manifest, &draft, self.store, self.cut, now).await?;
        put_in_place(&draft, data).map_err(|error| folder_error(data, &error))?;
        Ok(Restored { name, ..restored })
    }
}

/// Restores the newest backup into the folder `scratch`, and removes that again.
pub async fn check_newest(place: &Place, scratch: &Path, now: Timestamp) -> Result<Restored, BackupError> {
    let found = manifest::newest(place, None).await?;
    let (name, manifest) = found.ok_or_else(|| BackupError::NoBackup { place: place.to_string() })?;
    Ok(Restored { name, ..check(place, &manifest, scratch, now).await? })
}

/// Whether a log can be made of this backup: it is made, in the folder `scratch`, which is not there before or after.
pub(super) async fn check(
    place: &Place,
    manifest: &Manifest,
    scratch: &Path,
    now: Timestamp,
) -> Result<Restored, BackupError> {
    let restored = rebuild(place, manifest, scratch, None, Cut::default(), now).await;
    let removed = clear(scratch).await;
    restored.and_then(|restored| removed.map(|()| restored))
}

/// Makes a log in the folder `draft`, and whatever was there is gone.
async fn rebuild(
    place: &Place,
    manifest: &Manifest,
    draft: &Path,
    store: Option<StoreKind>,
    cut: Cut,
    now: Timestamp,
) -> Result<Restored, BackupError> {
    let states = manifest.workspaces.iter().map(|state| state.parse());
    let states: Option<Vec<_>> = states.collect();
    let mut states = states.ok_or_else(|| place.damaged("a workspace's state".to_owned()))?;
    if let Some(workspace) = &cut.workspace {
        states.retain(|(each, _)| each == workspace);
        states.first().ok_or_else(|| BackupError::NoWorkspace { workspace: workspace.clone() })?;
    }
    if cut.through.is_some() && states.len() != 1 {
        return Err(BackupError::WhichWorkspace { workspaces: states.len() });
    }
    clear(draft).await?;
    make_private_folder(draft).map_err(|error| folder_error(draft, &error))?;
    let (log, keys) = (draft.join("log"), draft.join("keys"));
    let opened = blocking(move || Ok(disk::open(&log, store, CACHE_BYTES)?)).await?;
    let mut feed = Feed::new(Rebuild::new(opened.disk, now), cut, place.name());
    for part in &manifest.parts {
        let bytes = parts::read(place, part).await?;
        let (place, part) = (place.clone(), part.clone());
        feed = blocking(move || parts::whole(&place, &part, &bytes).and_then(|()| feed.part(&bytes))).await?;
    }
    let bytes = parts::read(place, &manifest.keys).await?;
    parts::whole(place, &manifest.keys, &bytes)?;
    Catalog::import(&keys, &parts::keys(place, &bytes)?)?;
    let made = manifest.made.clone();
    blocking(move || feed.end(made, states)).await
}

/// Parts on their way into a log, in the order a backup names them. Any bytes may be given.
pub struct Feed {
    rebuild: Rebuild,
    cut: Cut,
    /// The place's name, for messages.
    place: String,
    /// The last entry of each workspace.
    reached: BTreeMap<WorkspaceId, LogSeq>,
    /// Entries of one workspace that are not added yet, and their length.
    group: Option<(WorkspaceId, Vec<Vec<u8>>)>,
    group_bytes: usize,
}

impl Feed {
    /// Begins a log; `place` is named in errors.
    pub fn new(rebuild: Rebuild, cut: Cut, place: &str) -> Self {
        let place = place.to_owned();
        Self { rebuild, cut, place, reached: BTreeMap::new(), group: None, group_bytes: 0 }
    }

    /// Takes in a part's bytes.
    pub fn part(mut self, bytes: &[u8]) -> Result<Self, BackupError> {
        let place = self.place.clone();
        each_row(bytes, |row| self.row(row), |fault| in_place(&place, &fault))?;
        Ok(self)
    }

    fn row(&mut self, row: Row) -> Result<(), BackupError> {
        let (workspace, seq, batch) = match row {
            Row::Entry { workspace, seq, batch } => (workspace, seq, batch),
            Row::Key { .. } => return Err(self.damaged("a key among entries".to_owned())),
        };
        let is_wanted = self.cut.workspace.as_ref().is_none_or(|wanted| *wanted == workspace)
            && self.cut.through.is_none_or(|through| seq <= through);
        if !is_wanted {
            return Ok(());
        }
        if self.reached.insert(workspace.clone(), seq).is_some_and(|before| before >= seq) {
            return Err(self.damaged(format!("the entries of {workspace} are not in order")));
        }
        if self.group.as_ref().is_some_and(|(open, _)| *open != workspace) || self.group_bytes >= GROUP_BYTES {
            self.flush()?;
        }
        self.group_bytes += batch.len() + ROW_BYTES;
        self.group.get_or_insert_with(|| (workspace, Vec::new())).1.push(batch);
        Ok(())
    }

    fn damaged(&self, what: String) -> BackupError {
        BackupError::Damaged { place: self.place.clone(), what }
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        self.group_bytes = 0;
        let Some((workspace, entries)) = self.group.take() else { return Ok(()) };
        self.rebuild.add(&workspace, &entries).map_err(|error| match error {
            LogError::Damaged(what) => self.damaged(what),
            error => error.into(),
        })
    }

    /// Everything is there: makes it durable, and compares it with what the logs said of themselves.
    pub fn end(mut self, made: String, states: Vec<(WorkspaceId, Standing)>) -> Result<Restored, BackupError> {
        self.flush()?;
        let mut workspaces = Vec::with_capacity(states.len());
        for (workspace, mut standing) in states {
            let head = self.rebuild.head(&workspace)?;
            let reached = self.reached.get(&workspace).copied().unwrap_or(LogSeq(0));
            if self.cut.through.is_some() && reached < standing.head.tail {
                standing.head.digest = head.digest;
            } else if head.digest != standing.head.digest || reached != standing.head.tail {
                return Err(self.damaged(format!("the records of {workspace} are not those of its log")));
            }
            standing.head.tail = reached;
            workspaces.push((workspace, standing));
        }
        Ok(Restored { name: String::new(), made, workspaces })
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    spawn_blocking(job).await.map_err(|_| LogError::Unavailable)?
}

/// Removes a folder and all that is in it; there need not be one.
pub(super) async fn clear(folder: &Path) -> Result<(), BackupError> {
    let folder = folder.to_owned();
    blocking(move || match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(folder_error(&folder, &error)),
        _ => Ok(()),
    })
    .await
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

pub(super) fn folder_error(folder: &Path, error: &io::Error) -> BackupError {
    BackupError::Place { place: folder.display().to_string(), cause: error.to_string() }
}
