//! Who a token was made for. Must not know tokens.

use super::TOKEN_NAME_BYTES_MAX;
use std::fmt;

/// Who a token was made for. Whoever holds the token can be it: it says whom to ask, and whose tokens to revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An installation, by the name it was given.
    Device(String),
    /// A person or a program that logs in.
    User(String),
}

impl Subject {
    /// As tokens carry it: `device:NAME` or `user:NAME`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        let plain = !name.is_empty() && name.len() <= TOKEN_NAME_BYTES_MAX && !name.chars().any(char::is_control);
        match kind {
            "device" if plain => Some(Self::Device(name.to_owned())),
            "user" if plain => Some(Self::User(name.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(name) => write!(f, "device:{name}"),
            Self::User(name) => write!(f, "user:{name}"),
        }
    }
}
