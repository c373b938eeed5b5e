//! Rows that were read lately: reading one again takes no walk through sled's tree. Must not know which of sled's rows have
//! newer ones beside it.

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// What an entry takes besides its key and value, in bytes, roughly.
const ENTRY_BYTES: u64 = 96;
/// How long a row is, roughly.
const ROW_BYTES: u64 = 512;

/// Scan-resistant: rows that are read once make no room for themselves at the cost of those that are read again.
pub(super) struct Recent(Cache<Vec<u8>, Vec<u8>, Weight>);

#[derive(Clone)]
struct Weight;

impl Weighter<Vec<u8>, Vec<u8>> for Weight {
    fn weight(&self, key: &Vec<u8>, value: &Vec<u8>) -> u64 {
        (key.len() + value.len()) as u64 + ENTRY_BYTES
    }
}

impl Recent {
    /// Holds so many bytes at most.
    pub(super) fn new(bytes_max: u64) -> Self {
        Self(Cache::with_weighter((bytes_max / ROW_BYTES) as usize, bytes_max, Weight))
    }

    /// The row under `key`, or what `read` finds, which is kept.
    pub(super) fn or_read<E>(
        &self,
        key: &[u8],
        read: impl FnOnce() -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Option<Vec<u8>>, E> {
        if let Some(value) = self.0.get(key) {
            return Ok(Some(value));
        }
        let found = read()?;
        if let Some(value) = &found {
            self.0.insert(key.to_vec(), value.clone());
        }
        Ok(found)
    }

    /// Forgets a row that changes.
    pub(super) fn forget(&self, key: &[u8]) {
        self.0.remove(key);
    }
}
