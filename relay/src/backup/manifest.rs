//! What one backup says of itself: a file of JSON whose name holds its time and a check of its content. Must not know how
//! parts are made.

use super::{BackupError, Place};
use crate::log::{Head, Standing};
use crate::text::hex;
use comptoir_engine::digest::Digest;
use comptoir_engine::id::{LogEpoch, LogSeq, WorkspaceId};
use comptoir_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The format that is written, and the newest that is read.
const FORMAT: u32 = 1;
const FOLDER: &str = "backups";
/// The longest file, in bytes: some 300,000 workspaces or parts.
pub(super) const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// Of the content's SHA-256, so many hexadecimal digits are in the name.
const CHECK_DIGITS: usize = 16;

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format's version.
    pub format: u32,
    /// The release that took it.
    pub release: String,
    /// When it was taken, RFC 3339.
    pub made: String,
    /// Where every log stood.
    pub workspaces: Vec<WorkspaceState>,
    /// All entries, in the order to read them.
    pub parts: Vec<Part>,
    /// The signing keys, as they were: one that was taken away does not come back.
    pub keys: Part,
    /// The workspaces whose logs were damaged then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Lack>,
    /// Whether a log was made of it before it counted; the first release did not say.
    #[serde(default = "tried")]
    pub tried: bool,
}

fn tried() -> bool {
    true
}

/// What a backup lacks of a workspace whose log was damaged when it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// The workspace.
    pub workspace: String,
    /// What was found in its log.
    pub what: String,
    /// The entry through which the backup has it, out of an earlier one; `None`: it is not in the backup.
    pub through: Option<u64>,
}

/// Where one workspace's log stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceState {
    /// Its name.
    pub workspace: String,
    /// The log's identity, hexadecimal.
    pub epoch: String,
    /// Its last entry.
    pub tail: u64,
    /// The digest of all records there, hexadecimal.
    pub digest: String,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    /// SHA-256 over its bytes, hexadecimal: its name.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// Its entries and keys.
    pub rows: u64,
}

impl Part {
    pub(super) fn file(&self) -> String {
        format!("parts/{}.part", self.sha256)
    }
}

impl WorkspaceState {
    pub(super) fn new(workspace: &WorkspaceId, standing: Standing) -> Self {
        let Standing { epoch, head } = standing;
        Self {
            workspace: workspace.to_string(),
            epoch: epoch.to_string(),
            tail: head.tail.0,
            digest: head.digest.to_string(),
        }
    }

    /// Its name and where it stood; `None` when that is not what it says.
    pub fn parse(&self) -> Option<(WorkspaceId, Standing)> {
        let head = Head { tail: LogSeq(self.tail), digest: Digest(unhex(&self.digest)?) };
        Some((WorkspaceId::new(&self.workspace).ok()?, Standing { epoch: LogEpoch(unhex(&self.epoch)?), head }))
    }
}

impl Manifest {
    /// One that was not tried yet.
    pub(super) fn new(made: Timestamp, workspaces: Vec<WorkspaceState>, parts: Vec<Part>, keys: Part) -> Self {
        let (release, made) = (env!("CARGO_PKG_VERSION").to_owned(), made.to_string());
        Self { format: FORMAT, release, made, workspaces, parts, keys, lacks: Vec::new(), tried: false }
    }

    /// Where every log stood.
    pub(super) fn standings(&self, place: &Place) -> Result<Vec<(WorkspaceId, Standing)>, BackupError> {
        let states = self.workspaces.iter().map(WorkspaceState::parse).collect::<Option<_>>();
        states.ok_or_else(|| place.damaged("a workspace's state".to_owned()))
    }

    /// Every part it needs.
    pub(super) fn all_parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().chain([&self.keys])
    }

    /// Reads one; its name is the file's in the place. Any bytes may be given.
    pub fn decode(place: &str, name: &str, bytes: &[u8]) -> Result<Self, BackupError> {
        let damaged = || BackupError::Damaged { place: place.to_owned(), what: format!("{FOLDER}/{name}") };
        let check = name.strip_suffix(".json").and_then(|name| name.rsplit_once('-')).map(|(_, check)| check);
        if check != Some(&hex(&Sha256::digest(bytes))[..CHECK_DIGITS]) {
            return Err(damaged());
        }
        /// What every format has.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(bytes).map_err(|_| damaged())?;
        if format > FORMAT {
            return Err(BackupError::NewerFormat { found: format });
        }
        serde_json::from_slice(bytes).map_err(|_| damaged())
    }

    /// Writes it; its file appears as a whole. Gives its name.
    pub(super) async fn write(&self, place: &Place, made: Timestamp) -> Result<String, BackupError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| place.damaged(error.to_string()))?;
        let check = &hex(&Sha256::digest(&bytes))[..CHECK_DIGITS];
        let name = format!("{}-{check}.json", time_name(made));
        place.write(&format!("{FOLDER}/{name}"), bytes).await?;
        Ok(name)
    }

    pub(super) async fn read(place: &Place, name: &str) -> Result<Self, BackupError> {
        let bytes = place.read(&format!("{FOLDER}/{name}"), MANIFEST_BYTES_MAX).await?;
        Self::decode(
            &place.to_string(),
            name,
            &bytes.ok_or_else(|| BackupError::NoBackup { place: place.to_string() })?,
        )
    }

    pub(super) async fn remove(place: &Place, name: &str) -> Result<(), BackupError> {
        place.remove(&format!("{FOLDER}/{name}")).await
    }
}

/// The names of all backups, oldest first.
pub(super) async fn names(place: &Place) -> Result<Vec<String>, BackupError> {
    let mut names: Vec<_> = place.list(FOLDER).await?.into_iter().map(|stored| stored.name).collect();
    // What else somebody keeps there is none of ours.
    names.retain(|name| time_of(name).is_some());
    names.sort_unstable();
    Ok(names)
}

/// The newest backup that was taken by then.
pub(super) async fn newest(place: &Place, by: Option<Timestamp>) -> Result<Option<(String, Manifest)>, BackupError> {
    let by = by.map(|by| time_name(by) + "~");
    let name = names(place).await?.into_iter().rfind(|name| by.as_ref().is_none_or(|by| name < by));
    match name {
        Some(name) => Manifest::read(place, &name).await.map(|manifest| Some((name, manifest))),
        None => Ok(None),
    }
}

/// Every backup's name and when it was taken, the oldest first.
pub async fn listed(place: &Place) -> Result<Vec<(String, Timestamp)>, BackupError> {
    let named = |name: String| time_of(&name).map(|made| (name.trim_end_matches(".json").to_owned(), made));
    Ok(names(place).await?.into_iter().filter_map(named).collect())
}

/// When the newest backup was taken, by its name; `None` where there is none.
pub async fn newest_made(place: &Place) -> Result<Option<Timestamp>, BackupError> {
    Ok(names(place).await?.pop().and_then(|name| time_of(&name)))
}

/// The time in a backup's name; `None` where it is no backup's.
fn time_of(name: &str) -> Option<Timestamp> {
    let (time, check) = name.strip_suffix(".json")?.split_once('-')?;
    let is_check = check.len() == CHECK_DIGITS && check.bytes().all(|byte| byte.is_ascii_hexdigit());
    let made = jiff::fmt::strtime::parse("%Y%m%dT%H%M%S.%fZ", time).ok().filter(|_| is_check)?;
    let made = made.to_datetime().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp { unix_ms: made.timestamp().as_millisecond() })
}

/// As it sorts: `20261122T073512.123Z`.
pub(super) fn time_name(time: Timestamp) -> String {
    let rfc3339 = jiff::Timestamp::from_millisecond(time.unix_ms).unwrap_or_default();
    rfc3339.strftime("%Y%m%dT%H%M%S.%3fZ").to_string()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let is_hex = text.len() == 2 * N && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then_some(())?;
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}
