//! Names and identities, each its own type. Must not know documents, bytes on the wire or storage.

use sha2::{Digest as _, Sha256};
use std::fmt;

/// The longest workspace or collection name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// The longest record key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;
/// The longest label, in bytes.
pub const LABEL_BYTES_MAX: usize = 200;
/// The length of an ordinary actor id, in bytes.
pub const ACTOR_BYTES: usize = 16;
/// The length of a derived actor id, in bytes. The length tells the two kinds apart.
pub const DERIVED_ACTOR_BYTES: usize = 12;

/// The digits of a change's hash that name it to people.
pub const SHORT_HASH_DIGITS: usize = 10;

/// A name that breaks its rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} \"{name}\" is not valid: {rule}")]
pub struct NameError {
    /// Workspace, collection, key or label.
    pub kind: &'static str,
    /// What was given, cut to 80 characters.
    pub name: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

fn refuse(kind: &'static str, name: &str, rule: &'static str) -> NameError {
    NameError { kind, name: name.chars().take(80).collect(), rule }
}

fn check_name(kind: &'static str, name: &str) -> Result<(), NameError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(refuse(kind, name, "use 1 to 64 characters"));
    }
    if !name.bytes().all(plain) {
        return Err(refuse(kind, name, "use lower-case letters, digits, '-', '_' and '.' only"));
    }
    if !name.as_bytes()[0].is_ascii_alphanumeric() && name.as_bytes()[0] != b'_' {
        return Err(refuse(kind, name, "begin with a letter or a digit"));
    }
    Ok(())
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks the rules and takes the name.
            pub fn new(name: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(name)?;
                Ok(Self(name.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

text_id! {
    /// The records of one shop and the devices that share them: lower-case letters, digits, `-`, `_`, `.`.
    WorkspaceId, |name| check_name("workspace", name)
}
text_id! {
    /// A set of records of one kind. A leading `_` marks Comptoir's own collections.
    Collection, |name| check_name("collection", name)
}
text_id! {
    /// A record's key in its collection: 1 to 256 bytes of UTF-8 without control characters.
    Key, |key| {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(refuse("key", key, "use 1 to 256 bytes"));
        }
        if key.chars().any(char::is_control) {
            return Err(refuse("key", key, "leave out control characters"));
        }
        Ok(())
    }
}

text_id! {
    /// What somebody did, in a few words: `stocktake`, `sale 1204`. At most 200 bytes of UTF-8 without control characters.
    Label, |label| {
        if label.is_empty() || label.len() > LABEL_BYTES_MAX {
            return Err(refuse("label", label, "use 1 to 200 bytes"));
        }
        if label.chars().any(char::is_control) {
            return Err(refuse("label", label, "leave out control characters"));
        }
        Ok(())
    }
}
text_id! {
    /// A series of numbers: 1 to 12 letters and digits.
    SeriesName, |name| {
        if name.is_empty() || name.len() > 12 || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(refuse("series", name, "use 1 to 12 letters and digits"));
        }
        Ok(())
    }
}

impl Collection {
    /// Whether it is one of Comptoir's own (`_schemas`, `_devices`, ...), which apps read but do not edit as records.
    pub fn is_reserved(&self) -> bool {
        self.as_str().starts_with('_')
    }
}

/// A record's full name. Its order is the order of the store: by collection, then by key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RecordId {
    /// The collection.
    pub collection: Collection,
    /// The key in it.
    pub key: Key,
}

impl RecordId {
    /// Checks both names.
    pub fn new(collection: &str, key: &str) -> Result<Self, NameError> {
        Ok(Self { collection: Collection::new(collection)?, key: Key::new(key)? })
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection, self.key)
    }
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

byte_id! {
    /// One installation: drawn at random when a store is made, and again when a copied store is opened.
    DeviceId, 16
}
byte_id! {
    /// A document's id: derived from workspace, collection and key, so every device means the same document.
    DocumentId, 32
}
byte_id! {
    /// A change's hash: SHA-256 over its chunk, as Automerge defines it.
    ChangeHash, 32
}
byte_id! {
    /// A log's identity: drawn when a log is made, restored or moved.
    LogEpoch, 16
}

impl LogEpoch {
    /// No log's: epochs are drawn, and this is none of them.
    pub const NONE: Self = Self([0; 16]);
}

byte_id! {
    /// A transaction over several records: the same on every device.
    TransactionId, 8
}

impl ChangeHash {
    /// Its first digits.
    pub fn short(&self) -> String {
        self.to_string().chars().take(SHORT_HASH_DIGITS).collect()
    }

    /// Reads 64 hexadecimal digits; `None` if they are none.
    pub fn parse(text: &str) -> Option<Self> {
        bytes_of(text).map(Self)
    }
}

impl TransactionId {
    /// The first bytes of SHA-256 over a domain tag, the author, the author's number for it, the time in milliseconds and
    /// the records: nothing is drawn, and a store that was set back does not give an id twice.
    pub fn derive<'a>(actor: &ActorId, number: u64, unix_ms: i64, records: impl Iterator<Item = &'a RecordId>) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"comptoir.transaction.1");
        hash.update(actor.as_bytes());
        hash.update(number.to_be_bytes());
        hash.update(unix_ms.to_be_bytes());
        for record in records {
            hash.update(record.collection.as_str().as_bytes());
            hash.update([0]);
            hash.update(record.key.as_str().as_bytes());
            hash.update([0]);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest[..8]);
        Self(bytes)
    }

    /// Reads 16 hexadecimal digits; `None` if they are none.
    pub fn parse(text: &str) -> Option<Self> {
        bytes_of(text).map(Self)
    }
}

/// As many bytes as there are pairs of hexadecimal digits.
fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, place) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(place..place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

impl DocumentId {
    /// SHA-256 over a domain tag and the three names, each ended by a zero byte (no name contains one).
    pub fn derive(workspace: &WorkspaceId, record: &RecordId) -> Self {
        let mut hash = Sha256::new();
        for part in ["comptoir.document.1", workspace.as_str(), record.collection.as_str(), record.key.as_str()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        Self(hash.finalize().into())
    }
}

/// Who made a change: an Automerge actor. Ordinary ones have 16 bytes and belong to one store; derived ones
/// have 12 and are computed from the change itself, so that two devices making the same change make one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(Box<[u8]>);

impl ActorId {
    /// Takes 16 or 12 bytes; anything else is no actor of Comptoir's.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        matches!(bytes.len(), ACTOR_BYTES | DERIVED_ACTOR_BYTES).then(|| Self(bytes.into()))
    }

    /// An ordinary actor.
    pub fn ordinary(bytes: [u8; ACTOR_BYTES]) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is computed from its change.
    pub fn is_derived(&self) -> bool {
        self.0.len() == DERIVED_ACTOR_BYTES
    }
}

impl fmt::Debug for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An entry's position in its workspace's log; 0 is before the first entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LogSeq(pub u64);

/// A device's position: everything through `seq` of the log `epoch` is in its store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// Which log.
    pub epoch: LogEpoch,
    /// Up to and including this entry.
    pub through: LogSeq,
}
