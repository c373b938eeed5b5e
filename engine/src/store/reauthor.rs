//! When the relay holds other changes under this store's actor and numbers: the store was rolled back or copied in a way
//! its marker could not show. What was made here since is made again under a fresh actor, in one commit. Must not know
//! how that was found out.

use super::draft::Draft;
use super::local::sent;
use super::rows::{CollectionRow, DocumentRow, IdentityRow, OutboxRow, SentChange};
use super::{Fork, Store, StoreError, keys, missing, put_row, read_row};
use crate::change::Change;
use crate::codec;
use crate::disk::txn::{self, Txn};
use crate::gate::Lineage;
use crate::id::{ActorId, ChangeHash, Collection, LogSeq, RecordId};
use crate::record::Contents;
use crate::record::document::reauthor;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// What a store is once a record was written anew.
pub(super) struct Rewritten {
    collections: BTreeMap<Collection, CollectionRow>,
    actor: ActorId,
    announced: Option<String>,
}

impl Store {
    /// Whether the change of `actor` with this number is this store's own and not yet acknowledged: then another one
    /// under the same name means that this store was rolled back or copied.
    pub(super) fn is_forked(&self, record: &RecordId, actor: &ActorId, seq: u64) -> Result<bool, StoreError> {
        if planted!(ForkUnnoticed) {
            return Ok(false);
        }
        let Some(hash) = self.open_draft(record)?.row.lineage.hash_of(actor, seq) else { return Ok(false) };
        Ok(!actor.is_derived() && self.unacknowledged(record)?.contains(&hash))
    }

    /// Makes a forked change again under a fresh actor, and with it everything that follows it, each author's part under an
    /// actor of its own: the relay can have none of that. Every device that holds the same changes makes the same ones of
    /// them, so nothing is counted twice.
    pub fn reauthor(&mut self, Fork { record, actor, seq }: &Fork) -> Result<(), StoreError> {
        let draft = self.open_draft(record)?;
        let changes = draft.document()?.changes();
        let changes = changes.map_err(|fault| StoreError::Damaged { what: format!("{record}: {fault}") })?;
        let Some(forked) = draft.row.lineage.hash_of(actor, *seq) else { return Ok(()) };
        let mut moved = BTreeSet::from([forked]);
        let mut successors = BTreeMap::new();
        for change in &changes {
            let (parts, hash) = (change.parts(), change.hash());
            if hash == forked || parts.deps.iter().any(|dep| moved.contains(dep)) {
                moved.insert(hash);
                if !parts.actor.is_derived() {
                    successors.entry(parts.actor.clone()).or_insert_with(|| successor(&parts.actor, &hash));
                }
            }
        }
        let (old, kept): (Vec<&Change>, Vec<&Change>) = changes.iter().partition(|each| moved.contains(&each.hash()));
        let mut lineage = Lineage::default();
        kept.iter().for_each(|change| lineage.extend(change, LogSeq(0)));
        let mut replaced: BTreeMap<ChangeHash, SentChange> = BTreeMap::new();
        let mut new = Vec::new();
        for (old, again) in old.iter().zip(reauthor(&draft.id, &old, &successors)?) {
            replaced.insert(old.hash(), sent(record, &again, &lineage));
            // Another device may have made it before.
            if !lineage.contains(&again.hash()) {
                lineage.extend(&again, LogSeq(0));
                new.push(again);
            }
        }
        let fresh = successors.get(&self.actor).unwrap_or(&self.actor).clone();
        let mut tx = Txn::new(&*self.disk);
        for (number, mut row) in self.outbox_of(record)? {
            for change in &mut row.changes {
                if planted!(ReauthorKeepsOutbox) {
                    continue;
                }
                if let Some(again) = hash_of(change).and_then(|hash| replaced.get(&hash)) {
                    *change = again.clone();
                }
            }
            put_row(&mut tx, keys::outbox(number), &row)?;
        }
        let changes: Vec<&Change> = kept.into_iter().chain(&new).collect();
        let rewritten = self.rewrite(&mut tx, record, draft, &changes, &fresh)?;
        self.finish(tx)?;
        self.adopt(rewritten);
        Ok(())
    }

    /// Makes a record of exactly these changes, each behind those it follows, and the store one of the actor `fresh`. The
    /// caller takes both over once that is durable.
    pub(super) fn rewrite(
        &self,
        tx: &mut Txn<'_>,
        record: &RecordId,
        mut draft: Draft,
        changes: &[&Change],
        fresh: &ActorId,
    ) -> Result<Rewritten, StoreError> {
        let mut collections = BTreeMap::new();
        draft.row = DocumentRow::default();
        draft.concurrent = true;
        changes.iter().for_each(|change| draft.extend(change));
        match changes.is_empty() {
            true => self.remove_draft(tx, &mut collections, record, &draft)?,
            false => {
                let contents = Contents::from(draft.document()?);
                self.write_draft(tx, &mut collections, record, draft, &contents)?;
            }
        }
        self.write_collections(tx, &collections)?;
        let known = read_row::<IdentityRow>(&*self.disk, &keys::identity())?;
        let mut identity = known.ok_or_else(|| missing("the identity"))?;
        if let Ok(bytes) = fresh.as_bytes().try_into() {
            identity.actor = bytes;
        }
        if *fresh != self.actor {
            identity.announced = None;
        }
        put_row(tx, keys::identity(), &identity)?;
        Ok(Rewritten { collections, announced: identity.announced, actor: fresh.clone() })
    }

    /// Takes over what [`Store::rewrite`] has staged and is durable now.
    pub(super) fn adopt(&mut self, rewritten: Rewritten) {
        let Rewritten { collections, actor, announced } = rewritten;
        (self.actor, self.announced) = (actor, announced);
        self.collections.extend(collections);
    }

    fn unacknowledged(&self, record: &RecordId) -> Result<BTreeSet<ChangeHash>, StoreError> {
        let rows = self.outbox_of(record)?;
        let of_record = |change: &SentChange| is_of(change, record).then(|| hash_of(change)).flatten();
        Ok(rows.iter().flat_map(|(_, row)| row.changes.iter().filter_map(of_record)).collect())
    }

    /// The outbox rows that hold changes of a record.
    fn outbox_of(&self, record: &RecordId) -> Result<Vec<(u64, OutboxRow)>, StoreError> {
        let mut rows = Vec::new();
        for (key, bytes) in txn::scan(&*self.disk, &keys::outbox(0), &keys::outbox(u64::MAX), usize::MAX)? {
            let row: OutboxRow = codec::decode(&bytes)?;
            if row.changes.iter().any(|change| is_of(change, record)) {
                rows.push((keys::number_of(&key)?, row));
            }
        }
        Ok(rows)
    }
}

fn is_of(change: &SentChange, record: &RecordId) -> bool {
    change.collection == record.collection.as_str() && change.key == record.key.as_str()
}

fn hash_of(change: &SentChange) -> Option<ChangeHash> {
    Change::parse(&change.bytes).ok().map(|change| change.hash())
}

/// The actor after one that was found forked at `change`. The two branches have different changes there, so each gets an
/// actor of its own, without drawing one.
pub(super) fn successor(actor: &ActorId, change: &ChangeHash) -> ActorId {
    let mut hash = Sha256::new();
    hash.update(b"comptoir.successor.1");
    hash.update(actor.as_bytes());
    hash.update(change.0);
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; crate::id::ACTOR_BYTES];
    bytes.copy_from_slice(&digest[..crate::id::ACTOR_BYTES]);
    ActorId::ordinary(bytes)
}
