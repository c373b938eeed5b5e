//! Copying the log into a store of another kind, and the digest both have to have. Must not know command lines.

use super::LogError;
use super::read::read_leaves;
use super::whole::each_workspace;
use comptoir_engine::digest::Digest;
use comptoir_engine::disk::{self, Copied, Disk, StoreKind};
use std::path::Path;

/// Copies the log in `dir`, which no relay may serve meanwhile, into a store of the kind `to`, and puts that in its place
/// when it holds the same; `None` when it is of that kind already. See [`disk::migrate`].
pub fn migrate(dir: &Path, to: StoreKind, cache_bytes: u64) -> Result<Option<Copied>, LogError> {
    disk::migrate(dir, to, cache_bytes, |opened| Ok(digest(&*opened.disk)?.to_string()))
}

/// The sum of all workspaces' digests, made anew from their documents. [`LogError::Damaged`] where a workspace says another.
fn digest(disk: &dyn Disk) -> Result<Digest, LogError> {
    let mut sum = Digest::default();
    each_workspace(disk, |workspace, row| {
        let leaves = read_leaves(disk, &workspace)?;
        let found = leaves.into_iter().fold(Digest::default(), |sum, (leaf, _)| sum.plus(leaf));
        if row.head().digest != found {
            return Err(LogError::Damaged(format!("the digest of {workspace} is not that of its records")));
        }
        sum = sum.plus(found);
        Ok(())
    })?;
    Ok(sum)
}
