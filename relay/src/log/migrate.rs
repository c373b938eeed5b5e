//! Copying the log into a store of another kind, and the digest both have to have. Must not know command lines.

use super::LogError;
use super::read::read_leaves;
use super::rows::{self, WorkspaceRow};
use comptoir_engine::digest::Digest;
use comptoir_engine::disk::{self, Copied, Disk, StoreKind, txn};
use comptoir_engine::id::WorkspaceId;
use std::path::Path;

/// Workspaces read at once.
const WORKSPACE_ROWS: usize = 256;

/// Copies the log in `dir`, which no relay may serve meanwhile, into a store of the kind `to`, and puts that in its place
/// when it holds the same; `None` when it is of that kind already. See [`disk::migrate`].
pub fn migrate(dir: &Path, to: StoreKind, cache_bytes: u64) -> Result<Option<Copied>, LogError> {
    disk::migrate(dir, to, cache_bytes, |opened| Ok(digest(&*opened.disk)?.to_string()))
}

/// The sum of all workspaces' digests, made anew from their documents. [`LogError::Damaged`] where a workspace says another.
fn digest(disk: &dyn Disk) -> Result<Digest, LogError> {
    let (mut from, until) = (rows::WORKSPACES.0.to_vec(), rows::WORKSPACES.1);
    let mut sum = Digest::default();
    loop {
        let page = txn::scan(disk, &from, until, WORKSPACE_ROWS)?;
        let Some((last, _)) = page.last() else { return Ok(sum) };
        from = [last.as_slice(), &[0]].concat();
        for (key, value) in page {
            let name = key.strip_prefix(rows::WORKSPACES.0).and_then(|name| std::str::from_utf8(name).ok());
            let workspace = name.and_then(|name| WorkspaceId::new(name).ok());
            let workspace = workspace.ok_or_else(|| LogError::Damaged("a workspace's key".to_owned()))?;
            let leaves = read_leaves(disk, &workspace)?;
            let found = leaves.into_iter().fold(Digest::default(), |sum, (leaf, _)| sum.plus(leaf));
            let said = rows::decode::<WorkspaceRow>(Some(value))?.map(|row| row.head().digest);
            if said != Some(found) {
                return Err(LogError::Damaged(format!("the digest of {workspace} is not that of its records")));
            }
            sum = sum.plus(found);
        }
    }
}
