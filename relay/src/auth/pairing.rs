//! Codes that a new device comes with, once and within minutes, to get its token. Must not know how a code is shown or sent.
//!
//! A code has 40 random bits, as eight letters and digits in two groups (Crockford's base 32, so that nothing is misread).
//! The ledger keeps its SHA-256. Nobody may try more than [`GUESSES_MAX`] wrong ones in a minute, of all who try.

use super::{Auth, Grant, IssueError, Permissions, Subject, TokenRequest, role_by_name};
use crate::catalog::{CatalogError, Fact, Issued, Offer};
use crate::text::hex;
use comptoir_engine::id::WorkspaceId;
use comptoir_engine::time::Timestamp;
use comptoir_engine::wire::message::{CODE_BYTES_MAX, Denial, Paired};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::task::spawn_blocking;

/// Wrong codes in a minute, of all who try: with 40 bits, years for one that is good for minutes.
pub const GUESSES_MAX: u32 = 20;
const MINUTE_MS: i64 = 60_000;
/// No 0 that is an O, no 1 that is an I or an L, and no U.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_LETTERS: usize = 8;

/// A code, as it is given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    fn draw() -> Result<Self, CatalogError> {
        let mut bits = [0; CODE_LETTERS];
        getrandom::fill(&mut bits).map_err(|_| CatalogError::NoRandom)?;
        let letters: String = bits.iter().map(|bits| char::from(LETTERS[usize::from(bits % 32)])).collect();
        Ok(Self(letters))
    }

    /// What somebody typed: small letters, spaces and dashes are as good, and so is what looks alike.
    fn read(typed: &str) -> Option<Self> {
        let alike = |letter: char| match letter.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            letter => letter,
        };
        let letters: String =
            typed.chars().filter(|letter| !matches!(letter, ' ' | '-')).map(alike).take(CODE_BYTES_MAX).collect();
        let is_code = letters.len() == CODE_LETTERS && letters.bytes().all(|letter| LETTERS.contains(&letter));
        is_code.then_some(Self(letters))
    }

    fn hash(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes()))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = self.0.split_at(CODE_LETTERS / 2);
        write!(f, "{first}-{second}")
    }
}

/// Why a code opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairFault {
    /// Nobody gave it out, it was used, or its time is over.
    #[error("the code is not good")]
    Unknown,
    /// Too many wrong ones have come.
    #[error("more than {GUESSES_MAX} wrong codes in a minute")]
    TooMany,
    /// The token could not be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl From<PairFault> for Denial {
    fn from(fault: PairFault) -> Self {
        match fault {
            PairFault::Unknown => Self::CodeInvalid,
            PairFault::TooMany => {
                Self::OverLimit { limit: "wrong pairing codes in a minute".to_owned(), limit_max: GUESSES_MAX.into() }
            }
            PairFault::Issue(_) => Self::Unavailable,
        }
    }
}

/// The wrong codes of this minute.
#[derive(Default)]
pub(super) struct Guesses(Mutex<(i64, u32)>);

impl Guesses {
    fn wrong(&self, now: Timestamp, more: u32) -> u32 {
        let minute = now.unix_ms.div_euclid(MINUTE_MS);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 != minute {
            *held = (minute, 0);
        }
        held.1 = held.1.saturating_add(more);
        held.1
    }
}

impl Auth {
    /// Gives out a code for a token, good for so long and once. The token's time begins when it is fetched. Waits for the disk.
    pub fn offer(&self, request: &TokenRequest, good_for: Duration) -> Result<Code, IssueError> {
        // What cannot be made then is refused now.
        let (claims, _) = self.signed(request)?;
        let (code, now) = (Code::draw()?, self.clock.now());
        let until = Timestamp { unix_ms: now.unix_ms.saturating_add(good_for.as_millis() as i64) };
        let valid_for_s = request.valid_for.as_secs();
        let offered =
            Fact::Offered { code: code.hash(), until: until.to_string(), valid_for_s, token: claims.issued() };
        self.catalog.ledger().add(&offered)?;
        Ok(code)
    }

    /// The token that a code was given out for, and what it grants.
    pub async fn pair(&self, typed: &str) -> Result<(Paired, Grant), PairFault> {
        if self.guesses.wrong(self.clock.now(), 0) >= GUESSES_MAX {
            return Err(PairFault::TooMany);
        }
        let auth = self.clone();
        let code = Code::read(typed);
        let redeemed = spawn_blocking(move || match code {
            Some(code) => auth.redeem(&code),
            None => Err(PairFault::Unknown),
        });
        let redeemed = redeemed.await.unwrap_or(Err(PairFault::Unknown));
        if matches!(redeemed, Err(PairFault::Unknown)) {
            self.guesses.wrong(self.clock.now(), 1);
        }
        redeemed
    }

    fn redeem(&self, code: &Code) -> Result<(Paired, Grant), PairFault> {
        let offer = self.catalog.ledger().redeem(&code.hash(), self.clock.now()).map_err(IssueError::from)?;
        let request = offer.and_then(request).ok_or(PairFault::Unknown)?;
        let token = self.issue(&request)?;
        let grant = self.read(&token).ok_or(IssueError::Signing)?;
        Ok((Paired { workspace: request.workspace.as_str().to_owned(), token }, grant))
    }
}

/// `None` where the ledger holds what no release wrote.
fn request(offer: Offer) -> Option<TokenRequest> {
    let Issued { workspace, role, subject, name, collections, limits, .. } = offer.token;
    let pairs = collections.iter().map(|(name, access)| Some((name.as_str(), super::Access::by_name(access)?)));
    Some(TokenRequest {
        workspace: WorkspaceId::new(&workspace).ok()?,
        role: role_by_name(&role)?,
        permissions: Permissions::of(pairs.collect::<Option<Vec<_>>>()?).ok()?,
        allowance: limits,
        subject: subject.as_deref().and_then(Subject::parse),
        name,
        valid_for: Duration::from_secs(offer.valid_for_s),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = Code("7K30-1QXT".replace('-', ""));
        for typed in ["7K30-1QXT", "7k30 1qxt", "7k3o-iqxt", " 7K3OLQXT "] {
            assert_eq!(Code::read(typed), Some(code.clone()), "{typed}");
        }
        for wrong in ["", "7K30-1QX", "7K30-1QXTT", "7K30-1QXU", "7K30_1QXT"] {
            assert_eq!(Code::read(wrong), None, "{wrong}");
        }
        assert_eq!(code.to_string(), "7K30-1QXT");
    }
}
