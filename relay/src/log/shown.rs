//! A workspace's log as a token sees it that may not read everything: the same places, with the digest and the changes of what
//! it may read. Must not know tokens or sessions.

use super::append::item;
use super::lineages::Lineages;
use super::read::read_leaves;
use super::rows::{self, CollectionRow, Head};
use super::{ENTRY_BYTES_MAX, Entry, LogError};
use comptoir_engine::digest::Digest;
use comptoir_engine::disk::Disk;
use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::id::{Collection, WorkspaceId};
use comptoir_engine::wire::batch::{self, Batch, Style};
use comptoir_engine::wire::message::Reach;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of collections read at once.
const COLLECTION_ROWS: usize = 256;

/// The head with the digest of what is within reach.
pub(super) fn show_head(disk: &dyn Disk, workspace: &WorkspaceId, reach: &Reach, head: Head) -> Result<Head, LogError> {
    let mut apart = Digest::default();
    for (name, _) in reach.named.iter().filter(|(_, reached)| *reached != reach.others) {
        let row = txn::read(disk, &rows::collection_key(workspace, name))?;
        let row: CollectionRow = rows::decode(row)?.unwrap_or_default();
        apart = apart.plus(Digest(row.digest));
    }
    let digest = if reach.others { head.digest.minus(apart) } else { apart };
    Ok(Head { digest, ..head })
}

/// Makes the digests of the collections add up to the workspace's, from all its documents where they do not: a log of before
/// there were such rows has none, or some.
pub(super) fn mend_collections(disk: &dyn Disk, workspace: &WorkspaceId, head: Head) -> Result<(), LogError> {
    let (from, until) = rows::collections(workspace);
    let (mut known, mut next) = (Vec::new(), from);
    loop {
        let page = txn::scan(disk, &next, &until, COLLECTION_ROWS)?;
        let Some((last, _)) = page.last() else { break };
        next = [last.as_slice(), &[0]].concat();
        known.extend(page);
    }
    let mut sum = Digest::default();
    for (_, value) in &known {
        let row: CollectionRow = rows::decode(Some(value.clone()))?.unwrap_or_default();
        sum = sum.plus(Digest(row.digest));
    }
    if sum == head.digest {
        return Ok(());
    }
    let mut digests: BTreeMap<Collection, Digest> = BTreeMap::new();
    for (leaf, record) in read_leaves(disk, workspace)? {
        let digest = digests.entry(record.collection).or_default();
        *digest = digest.plus(leaf);
    }
    let mut txn = Txn::new(disk);
    known.into_iter().for_each(|(key, _)| txn.remove(key));
    for (collection, digest) in digests {
        let row = CollectionRow { digest: digest.0 };
        txn.put(rows::collection_key(workspace, collection.as_str()), &rows::encode(&row)?);
    }
    Ok(txn.commit()?)
}

/// The entries with the changes within reach alone; a batch without any is no bytes.
pub(super) fn show_entries(
    disk: &dyn Disk,
    workspace: &WorkspaceId,
    reach: &Reach,
    entries: Vec<Arc<Entry>>,
) -> Result<Vec<Arc<Entry>>, LogError> {
    let mut lineages = Lineages::new(disk, workspace.clone());
    entries.into_iter().map(|entry| show_entry(&mut lineages, reach, entry)).collect()
}

fn show_entry(lineages: &mut Lineages<'_>, reach: &Reach, entry: Arc<Entry>) -> Result<Arc<Entry>, LogError> {
    let whole = Batch::decode(&entry.batch)?;
    let reached = |name: &str| Collection::new(name).is_ok_and(|collection| reach.contains(&collection));
    if whole.collections().all(reached) {
        return Ok(entry);
    }
    let damaged = |what: &str| LogError::Damaged(format!("entry {}: {what}", entry.seq.0));
    let mut items = Vec::new();
    if whole.collections().any(reached) {
        for (record, change) in lineages.unpack(&whole)??.changes {
            if reach.contains(&record.collection) {
                let change = change.map_err(|refusal| damaged(&refusal.to_string()))?;
                items.push(item(&record, &change, Some(lineages.get(&record)?))?);
            }
        }
    }
    let mut batch = Vec::new();
    if !items.is_empty() {
        batch = batch::pack(&items, Style::Compact)?;
    }
    if batch.len() > ENTRY_BYTES_MAX {
        return Err(damaged("a part of it takes more bytes than an entry may"));
    }
    Ok(Arc::new(Entry { seq: entry.seq, after: entry.after, batch }))
}
