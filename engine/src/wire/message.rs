//! The messages of protocol `comptoir.v1`, one to a binary WebSocket frame: a version byte and a bincode value.
//! Must not know what a batch holds.

use crate::codec::{self, CodecError, Decode, Encode, Versioned};
use crate::gate::Refusal;
use crate::id::{Collection, Cursor, DeviceId, LogEpoch, LogSeq};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// The WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "comptoir.v1";
/// The longest frame either side sends or takes, in bytes.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// The pushed bytes a device may have unacknowledged.
pub const PUSH_WINDOW_BYTES: u64 = 4 << 20;
/// The pushes a device may have unacknowledged.
pub const PUSHES_MAX: usize = 64;
/// The entry bytes a relay may send before the device says it has stored them.
pub const PULL_WINDOW_BYTES: u64 = 4 << 20;
/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// How a token's short name begins, and no token.
const SHORT: char = '=';
/// Bytes of a token's SHA-256 in its short name: as hard to guess as a key of 128 bits.
const SHORT_BYTES: usize = 16;
/// A token up to here, in bytes, has no shorter name.
pub const TOKEN_BYTES_SHORT: usize = 64;
/// The most documents asked for in one message.
pub const WANTED_MAX: usize = 1024;

/// What stands for a token where it was shown before: as secret as the token, and a tenth of its length.
pub fn short_name(token: &str) -> String {
    let hash = Sha256::digest(token.as_bytes());
    format!("{SHORT}{}", URL_SAFE_NO_PAD.encode(&hash[..SHORT_BYTES]))
}

/// Whether this is a token's short name.
pub fn is_short_name(token: &str) -> bool {
    token.starts_with(SHORT)
}

/// What a token allows. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Role {
    /// Pull only.
    Reader,
    /// Pull and push.
    Editor,
    /// Pull, push and manage the workspace.
    Admin,
}

/// The first message of a device.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// The workspace's name.
    pub workspace: String,
    /// Which installation.
    pub device: [u8; 16],
    /// What people call it.
    pub device_name: String,
    /// The signed token, or empty; of a device that was here before, the token's [`short_name`].
    pub token: String,
    /// Where the device is: the log's epoch and the last entry it has. Without one, it begins at the first.
    pub cursor: Option<([u8; 16], u64)>,
    /// The entry bytes the relay may send before the device gives credit; 0 for a device that only pushes.
    pub credit_bytes: u64,
}

impl Hello {
    /// The device's position, typed.
    pub fn cursor(&self) -> Option<Cursor> {
        self.cursor.map(|(epoch, through)| Cursor { epoch: LogEpoch(epoch), through: LogSeq(through) })
    }

    /// The device's id, typed.
    pub fn device(&self) -> DeviceId {
        DeviceId(self.device)
    }
}

/// The relay's answer to a hello it accepts. When the device's cursor is of this epoch and not past the tail, or
/// absent, the relay goes on with entries; else it waits for the device to reconcile.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Welcome {
    /// The log's identity.
    pub epoch: [u8; 16],
    /// The last entry.
    pub tail: u64,
    /// The digest of all records at the tail.
    pub digest: [u8; 32],
    /// What the token allows.
    pub role: Role,
}

/// Why the relay ends a session. A closed list.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Denial {
    /// No token was sent.
    #[error(
        "the relay asks for a token: get one with `comptoir-relay token create` and give it to `comptoir init --token`"
    )]
    TokenMissing,
    /// Not signed by this relay, or not readable.
    #[error("the relay does not accept this token: ask for a new one")]
    TokenInvalid,
    /// Past its time.
    #[error("the token has expired: ask for a new one")]
    TokenExpired,
    /// Made for another workspace.
    #[error("the token is for another workspace: check the workspace's name or ask for a token of this one")]
    WrongWorkspace,
    /// The first message was not a hello, or a later one was out of place.
    #[error("the relay did not expect this message: upgrade the older side")]
    OutOfTurn,
    /// A frame that is no message.
    #[error("the relay could not read a message ({0}): upgrade the older side")]
    Unreadable(String),
    /// Over one of the relay's limits.
    #[error("over the relay's limit of {limit_max} {limit}: send less, or ask the relay's operator")]
    OverLimit {
        /// Which limit, with its unit.
        limit: String,
        /// The limit.
        limit_max: u64,
    },
    /// The relay cannot write now.
    #[error("the relay cannot store anything at the moment: it will be tried again")]
    Unavailable,
    /// The relay is stopping.
    #[error("the relay is shutting down: it will be tried again")]
    ShuttingDown,
    /// Taken back by the relay's operator.
    #[error("the token has been revoked: ask for a new one")]
    TokenRevoked,
    /// It hides every collection.
    #[error("the token may not read any collection, so there is nothing for a device: ask for one that may")]
    TokenTooNarrow,
    /// Nobody gave this code out, it was used, or its time is over.
    #[error("the relay does not know this pairing code, or it was used or is too old: ask for a new one")]
    CodeInvalid,
    /// The operator has closed the workspace for now, or for good.
    #[error("the workspace is suspended by the relay's operator: ask them; what is saved here stays here")]
    Suspended,
    /// The workspace's log is as long as it may be.
    #[error(
        "the workspace has used up its {bytes_max} bytes on the relay: ask the relay's operator for more; what is saved here \
         stays here and goes up when there is room"
    )]
    OverQuota {
        /// The limit.
        bytes_max: u64,
    },
}

/// The longest pairing code, in bytes.
pub const CODE_BYTES_MAX: usize = 64;

/// A refused change of a push.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Refused {
    /// The change's place in its batch, from 0.
    pub index: u32,
    /// Why.
    pub reason: Refusal,
}

/// The relay's receipt for a push: everything in it but what was refused is durable there.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Ack {
    /// The push's number, as the device gave it.
    pub push: u64,
    /// Set when the device now has every entry through this one: its cursor moves here.
    pub through: Option<u64>,
    /// The digest of all records, when `through` is the tail.
    pub digest: Option<[u8; 32]>,
    /// What was set aside.
    pub refused: Vec<Refused>,
}

/// Log entries in order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Entries {
    /// Batches, as their authors pushed them.
    pub batches: Vec<Vec<u8>>,
    /// The device's cursor once it has stored them.
    pub through: u64,
    /// The digest of all records, when `through` is the tail.
    pub digest: Option<[u8; 32]>,
}

/// Collections, as far as a token reaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Reach {
    /// Whether it reaches those that are not named.
    pub others: bool,
    /// Whether it reaches these.
    pub named: Vec<(String, bool)>,
}

impl Reach {
    /// Whether it reaches this one.
    pub fn contains(&self, collection: &Collection) -> bool {
        let named = self.named.iter().find(|(name, _)| name == collection.as_str());
        named.map_or(self.others, |(_, reached)| *reached)
    }

    /// Whether it reaches nothing that `other` does not.
    pub fn is_within(&self, other: &Self) -> bool {
        let names = || self.named.iter().chain(&other.named).filter_map(|(name, _)| Collection::new(name).ok());
        (other.others || !self.others) && names().all(|name| other.contains(&name) || !self.contains(&name))
    }
}

/// What a device gets for a pairing code.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Paired {
    /// The workspace's name.
    pub workspace: String,
    /// The signed token.
    pub token: String,
}

/// What a device says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum FromDevice {
    /// First of all.
    Hello(Hello),
    /// Changes, to be stored and acknowledged.
    Push {
        /// Counts up from 1 in a session.
        push: u64,
        /// No new edits, but what a comparison found the relay to lack.
        offered: bool,
        /// See [`super::batch`].
        batch: Vec<u8>,
    },
    /// The device has stored so many entry bytes more.
    Credit {
        /// How many.
        bytes: u64,
    },
    /// A step of set reconciliation; the first one pauses the entries.
    Reconcile {
        /// A message of the negentropy protocol, version 1.
        payload: Vec<u8>,
    },
    /// Documents the device lacks, by their leaves.
    Want {
        /// Leaves, [`WANTED_MAX`] at most.
        leaves: Vec<[u8; 32]>,
        /// Whether these are the last: then the entries go on.
        last: bool,
    },
    /// Instead of a hello: asks for a token, which ends the session.
    Pair {
        /// The code that the relay's operator was shown, as it was given out.
        code: String,
    },
}

/// What the relay says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum FromRelay {
    /// The hello was accepted.
    Welcome(Welcome),
    /// The session ends, for this reason.
    Denied(Denial),
    /// A push is durable.
    Ack(Ack),
    /// A push did not give the hashes its author computed: send it again with every hash spelled out.
    Unclear {
        /// The push's number.
        push: u64,
    },
    /// What others wrote.
    Entries(Entries),
    /// A step of set reconciliation.
    Reconcile {
        /// A message of the negentropy protocol, version 1.
        payload: Vec<u8>,
    },
    /// Whole documents that were wanted, every hash spelled out.
    Records {
        /// See [`super::batch`].
        batch: Vec<u8>,
    },
    /// All that was wanted has been sent: the device now has every entry through this one.
    Reconciled {
        /// The cursor.
        through: u64,
        /// The digest of all records there.
        digest: [u8; 32],
    },
    /// The code was good.
    Paired(Paired),
    /// Right behind the welcome where the token may not write everywhere: where it may.
    Writable(Reach),
    /// Before the welcome where the token may not read everything: what it may. All that the relay says of entries and
    /// digests is said of these collections alone.
    Readable(Reach),
    /// The relay does not know the short name that the hello had for a token: it is to come again with the token itself.
    TokenWanted,
    /// A push has come and waits, because more was pushed in a second than is allowed: said now and again until its receipt.
    Slowed,
}

impl Versioned for FromDevice {
    const WHAT: &'static str = "a device's message";
    const VERSION: u8 = 1;
}

impl Versioned for FromRelay {
    const WHAT: &'static str = "a relay's message";
    const VERSION: u8 = 1;
}

impl FromDevice {
    /// The frame.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }

    /// The message that a frame is.
    pub fn decode(frame: &[u8]) -> Result<Self, CodecError> {
        codec::decode(frame)
    }
}

impl FromRelay {
    /// The frame.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }

    /// The message that a frame is.
    pub fn decode(frame: &[u8]) -> Result<Self, CodecError> {
        codec::decode(frame)
    }
}
