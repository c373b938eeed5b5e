//! A place in the answer to a query. Must not know storage.

use super::{Query, QueryError};
use crate::codec::{self, Decode, Encode, Versioned};
use crate::id::{Collection, Key};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

/// The longest cursor, in characters.
const CURSOR_BYTES_MAX: usize = 32 << 10;

/// Where a record stands in a query's order. Only positions of one query compare.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    parts: Vec<Part>,
    key: KeyPart,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Up(Vec<u8>),
    Down(Reverse<Vec<u8>>),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum KeyPart {
    Up(Key),
    Down(Reverse<Key>),
}

impl Position {
    pub(super) fn new(parts: impl Iterator<Item = (Vec<u8>, bool)>, key: Key, backwards: bool) -> Self {
        let part = |(bytes, down)| if down { Part::Down(Reverse(bytes)) } else { Part::Up(bytes) };
        Self { parts: parts.map(part).collect(), key: KeyPart::new(key, backwards) }
    }

    /// The components of the order's fields.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| match part {
            Part::Up(bytes) | Part::Down(Reverse(bytes)) => bytes.as_slice(),
        })
    }

    /// The record's key.
    pub fn key(&self) -> &Key {
        match &self.key {
            KeyPart::Up(key) | KeyPart::Down(Reverse(key)) => key,
        }
    }
}

impl KeyPart {
    fn new(key: Key, backwards: bool) -> Self {
        if backwards { Self::Down(Reverse(key)) } else { Self::Up(key) }
    }
}

/// Where a page ends: the next one begins behind it. It holds the place, not the record, so it stays good while records
/// change and go. As text it is opaque.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PageCursor {
    query: [u8; 8],
    parts: Vec<Vec<u8>>,
    key: String,
}

impl Versioned for PageCursor {
    const WHAT: &'static str = "a cursor";
    const VERSION: u8 = 1;
}

impl PageCursor {
    /// The cursor at `position` of the query's answer.
    pub fn new(query: &Query, collection: &Collection, position: &Position) -> Self {
        let parts = position.parts().map(<[u8]>::to_vec).collect();
        Self { query: fingerprint(query, collection), parts, key: position.key().as_str().to_owned() }
    }

    /// Its place in the answer to `query`; an error when it is another query's.
    pub fn position(&self, query: &Query, collection: &Collection) -> Result<Position, QueryError> {
        if self.query != fingerprint(query, collection) || self.parts.len() != query.order.len() {
            return Err(QueryError::ForeignCursor);
        }
        let key = Key::new(&self.key).map_err(|_| QueryError::BadCursor)?;
        let down = query.order.iter().map(|order| order.descending);
        Ok(Position::new(self.parts.iter().cloned().zip(down), key, query.is_backwards()))
    }
}

/// Of all that decides which records there are and in what order.
fn fingerprint(query: &Query, collection: &Collection) -> [u8; 8] {
    let filter = query.filter.as_ref().map(ToString::to_string);
    let order = query.order.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let said = format!("{collection}\0{filter:?}\0{:?}\0{order}\0{}", query.search, query.deleted);
    let digest: [u8; 32] = Sha256::digest(said).into();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    first
}

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = codec::encode(self).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for PageCursor {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        if text.len() > CURSOR_BYTES_MAX {
            return Err(QueryError::BadCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| QueryError::BadCursor)?;
        codec::decode(&bytes).map_err(|_| QueryError::BadCursor)
    }
}
