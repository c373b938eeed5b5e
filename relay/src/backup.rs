//! Backups of a relay: its logs and its signing keys, in a place of their own. Must not know who asks for one.
//!
//! ```text
//! PLACE/owner.json                whose backups these are
//! PLACE/backups/TIME-CHECK.json   one backup: where each log stood, and the parts that hold it all
//! PLACE/parts/SHA256.part         entries and keys, as an archive (see the engine); shared by the backups that name it
//! ```
//!
//! A backup names every part it needs, and writes only what no earlier one has: all of them are whole, and each is small.
//! Parts are written first, then the backup is tried, then its one file appears: what a killed process leaves is no backup.

mod bucket;
mod check;
mod error;
mod feed;
mod folder;
mod manifest;
mod owner;
mod pack;
mod pages;
mod parts;
mod place;
mod restore;
mod rotate;
mod scratch;
mod take;
mod verify;

pub use check::{CheckedBackup, check_all};
pub use error::BackupError;
pub use feed::{Compared, Cut, Feed};
pub use manifest::{Lack, Manifest, Part, WorkspaceState, listed, newest_made};
pub use owner::{Owner, check_owner};
pub use place::Place;
pub use restore::{Restore, Restored};
pub use scratch::Scratch;
pub use take::{Backup, Taken};
pub use verify::{Found, Verified, VerifiedWorkspace, verify};
