//! Whose the backups in a place are: two relays that rotate the same place would remove each other's. Must not know what
//! backups hold.

use super::{BackupError, Place};
use crate::text::hex;
use comptoir_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

const FILE: &str = "owner.json";
/// The longest file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 10;
/// Of the hash, so many bytes are the name.
const NAME_BYTES: usize = 8;

/// One relay's data folder. A copy of the folder is another one, and so is one that was restored; what was renamed, or has
/// its drive under another name, is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner(String);

/// What the file says.
#[derive(Serialize, Deserialize)]
struct Claim {
    relay: Owner,
    /// Since when, RFC 3339.
    since: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Owner {
    /// Of the log in this folder: made of its lock file's inode and creation time and of the machine's id, as far as the
    /// system knows them.
    pub fn of(log: &Path) -> Result<Self, BackupError> {
        let lock = log.join("lock");
        let metadata = fs::metadata(&lock).map_err(|error| super::folder::folder_error(&lock, &error))?;
        let created = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let text = format!("{inode}-{}-{}", created.map_or(0, |since| since.as_nanos()), machine.trim());
        Ok(Self(hex(&Sha256::digest(text)[..NAME_BYTES])))
    }
}

/// An error where the place is another relay's. Nobody's is all right.
pub async fn check_owner(place: &Place, relay: &Owner) -> Result<(), BackupError> {
    match read(place).await? {
        Some(owner) if owner != *relay => {
            let (place, owner, relay) = (place.to_string(), owner.to_string(), relay.to_string());
            Err(BackupError::OfAnother { place, owner, relay })
        }
        _ => Ok(()),
    }
}

/// Makes the place this relay's: where it is nobody's, or whosever it is when it is to be taken over.
pub(super) async fn claim(place: &Place, relay: &Owner, take_over: bool, now: Timestamp) -> Result<(), BackupError> {
    if !take_over {
        check_owner(place, relay).await?;
        if read(place).await?.is_some() {
            return Ok(());
        }
    }
    let claim = Claim { relay: relay.clone(), since: now.to_string() };
    let text = serde_json::to_vec_pretty(&claim).map_err(|error| place.damaged(error.to_string()))?;
    match take_over {
        true => place.write(FILE, text).await?,
        // Of two that come at once one stays, and the other one reads its name: now, or before it removes anything.
        false => place.write_first(FILE, text).await?,
    }
    check_owner(place, relay).await
}

async fn read(place: &Place) -> Result<Option<Owner>, BackupError> {
    let Some(bytes) = place.read(FILE, FILE_BYTES_MAX).await? else { return Ok(None) };
    let claim: Claim = serde_json::from_slice(&bytes)
        .map_err(|_| place.damaged(format!("{FILE}: say whose it is with `backup --take-over`")))?;
    Ok(Some(claim.relay))
}
