//! Access control: makes and checks tokens, and makes [`Grant`]s, the proof that a token was checked. Must not know
//! sessions or the log.
//!
//! A token is a PASETO `v4.public` (Ed25519). Payload: JSON with `workspace`, `role`, `name`, `iat`, `exp` (RFC 3339),
//! `jti`, and where they were given `sub` (`device:NAME` or `user:NAME`) and `collections` (name or `*` to `none`, `read`,
//! `write`). Footer: JSON with `kid`, the id of the key that signed it.

mod claims;
mod grant;
mod jwt;
mod kept;
mod known;
mod manage;
mod pairing;
mod permissions;
mod subject;

use crate::catalog::{Allowance, Catalog, CatalogError, Fact, Issued, Openness};
use crate::clock::Clock;
use crate::text::{Told, hex};
use claims::{Claims, Footer};
use comptoir_engine::id::WorkspaceId;
use comptoir_engine::time::Timestamp;
use comptoir_engine::wire::message::{Denial, Role, TOKEN_BYTES_MAX, TOKEN_BYTES_SHORT, is_short_name};
pub use grant::Grant;
pub use jwt::{JWKS_BYTES_MAX, JwksError, Logins};
pub use kept::KeptGrant;
use known::Known;
pub use manage::{Manager, OPERATOR, Operator};
use pairing::Guesses;
pub use pairing::{Code, GUESSES_MAX, PairFault};
use pasetors::Public;
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
pub use permissions::{Access, COLLECTIONS_MAX, PermissionError, Permissions};
use std::sync::Arc;
use std::time::Duration;
pub use subject::Subject;
use tokio::sync::watch;

/// The longest name of a token, in bytes.
pub const TOKEN_NAME_BYTES_MAX: usize = 128;

/// How this relay's own tokens begin.
const OWN: &str = "v4.public.";

/// Who signed a token.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Signer {
    /// This relay, with the key of this id.
    Key(String),
    /// An app's own login.
    Login,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// There is none.
    #[error("no token")]
    Missing,
    /// Longer than any of this relay's.
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not a token, or not signed by a key of this relay.
    #[error("the token is not one of this relay's")]
    Invalid,
    /// Past its time.
    #[error("the token has expired")]
    Expired,
    /// Made for another workspace.
    #[error("the token is for another workspace")]
    WrongWorkspace,
    /// Taken back.
    #[error("the token has been revoked")]
    Revoked,
    /// Its workspace is suspended, or being removed.
    #[error("the workspace is suspended")]
    Suspended,
    /// Not an operator's.
    #[error("the token is not an operator's")]
    NotOperator,
}

impl From<TokenFault> for Denial {
    fn from(fault: TokenFault) -> Self {
        match fault {
            TokenFault::Missing => Self::TokenMissing,
            TokenFault::Invalid => Self::TokenInvalid,
            TokenFault::Expired => Self::TokenExpired,
            TokenFault::WrongWorkspace | TokenFault::NotOperator => Self::WrongWorkspace,
            TokenFault::Suspended => Self::Suspended,
            TokenFault::Revoked => Self::TokenRevoked,
            TokenFault::TooLong => {
                Self::OverLimit { limit: "token bytes".to_owned(), limit_max: TOKEN_BYTES_MAX as u64 }
            }
        }
    }
}

/// Why no token could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The name is too long or holds control characters.
    #[error("the token's name is not valid: use at most {TOKEN_NAME_BYTES_MAX} bytes without control characters")]
    Name,
    /// The end is past the calendar.
    #[error("the token's time is too long: use at most 100 years")]
    Expiry,
    /// It names too much.
    #[error("the token would be longer than {TOKEN_BYTES_MAX} bytes: name fewer collections")]
    TooLong,
    /// The key does not sign.
    #[error("the token could not be signed: try again")]
    Signing,
    /// The keys cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Told for IssueError {
    fn code(&self) -> &'static str {
        match self {
            Self::Name => "token_name",
            Self::Expiry => "token_expiry",
            Self::TooLong => "token_too_long",
            Self::Signing => "token_signing",
            Self::Catalog(error) => error.code(),
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Name => vec![("bytes_max", TOKEN_NAME_BYTES_MAX.to_string())],
            Self::Catalog(error) => error.args(),
            Self::TooLong => vec![("bytes_max", TOKEN_BYTES_MAX.to_string())],
            Self::Expiry | Self::Signing => Vec::new(),
        }
    }
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// The workspace it opens.
    pub workspace: WorkspaceId,
    /// What it allows at most.
    pub role: Role,
    /// And of that, by collection.
    pub permissions: Permissions,
    /// What it may take in a second.
    pub allowance: Allowance,
    /// Who it is for.
    pub subject: Option<Subject>,
    /// What the operator calls it.
    pub name: String,
    /// How long it is good for: 100 years at most.
    pub valid_for: Duration,
}

/// Makes and checks tokens.
#[derive(Clone)]
pub struct Auth {
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    guesses: Arc<Guesses>,
    logins: Option<Arc<Logins>>,
    known: Arc<Known>,
}

impl Auth {
    /// Stands on these keys and this clock.
    pub fn new(catalog: Arc<Catalog>, clock: Arc<dyn Clock>) -> Self {
        Self { catalog, clock, guesses: Arc::default(), logins: None, known: Arc::default() }
    }

    /// Takes tokens of this login too.
    pub fn with_logins(self, logins: Arc<Logins>) -> Self {
        Self { logins: Some(logins), ..self }
    }

    /// Makes a token, good from now on, and writes into the ledger that it was made. Waits for the disk.
    pub fn issue(&self, request: &TokenRequest) -> Result<String, IssueError> {
        let (claims, token) = self.signed(request)?;
        self.catalog.ledger().add(&Fact::Issued(claims.issued()))?;
        Ok(token)
    }

    /// Makes a token that no ledger knows: it can be revoked by its text or with all others of its workspace only.
    pub fn sign(&self, request: &TokenRequest) -> Result<String, IssueError> {
        Ok(self.signed(request)?.1)
    }

    fn signed(&self, request: &TokenRequest) -> Result<(Claims, String), IssueError> {
        let access = |(name, access): (&str, Access)| (name.to_owned(), access.name().to_owned());
        let claims = Claims {
            workspace: request.workspace.as_str().to_owned(),
            role: role_name(request.role).to_owned(),
            sub: request.subject.as_ref().map(Subject::to_string),
            collections: request.permissions.pairs().into_iter().map(access).collect(),
            limits: request.allowance,
            ..self.claims(&request.name, request.valid_for)?
        };
        let token = self.seal(&claims)?;
        Ok((claims, token))
    }

    /// The claims of any token: an id, a name and its time.
    fn claims(&self, name: &str, valid_for: Duration) -> Result<Claims, IssueError> {
        const VALID_FOR_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);
        if name.len() > TOKEN_NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(IssueError::Name);
        }
        if valid_for > VALID_FOR_MAX {
            return Err(IssueError::Expiry);
        }
        let mut token_id = [0; 16];
        getrandom::fill(&mut token_id).map_err(|_| CatalogError::NoRandom)?;
        let now = self.clock.now();
        let expires = Timestamp { unix_ms: now.unix_ms.saturating_add(valid_for.as_millis() as i64) };
        Ok(Claims {
            name: name.to_owned(),
            iat: now.to_string(),
            exp: expires.to_string(),
            // No letter of it looks like an option on a command line.
            jti: hex(&token_id),
            ..Claims::default()
        })
    }

    fn seal(&self, claims: &Claims) -> Result<String, IssueError> {
        let key = self.catalog.newest();
        let payload = serde_json::to_vec(claims).map_err(|_| IssueError::Signing)?;
        let footer = serde_json::to_vec(&Footer { kid: key.id.clone() }).map_err(|_| IssueError::Signing)?;
        let token = PublicToken::sign(&key.secret, &payload, Some(&footer), None).map_err(|_| IssueError::Signing)?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(IssueError::TooLong);
        }
        Ok(token)
    }

    /// Checks a token for a workspace: signature first, then time, then workspace.
    pub fn check(&self, token: &str, workspace: &str) -> Result<Grant, TokenFault> {
        match token.len() {
            0 => return Err(TokenFault::Missing),
            bytes if bytes > TOKEN_BYTES_MAX => return Err(TokenFault::TooLong),
            _ => {}
        }
        let grant = match &self.logins {
            Some(logins) if !token.starts_with(OWN) => logins.check(token)?,
            _ => self.read(token).ok_or_else(|| match self.check_operator(token) {
                Ok(_) => TokenFault::WrongWorkspace,
                Err(_) => TokenFault::Invalid,
            })?,
        };
        self.check_again(&grant)?;
        if grant.workspace.as_str() != workspace {
            return Err(TokenFault::WrongWorkspace);
        }
        Ok(grant)
    }

    /// The token that a device has shown, also by its short name; `None` where no token of that name was found good here.
    pub fn spell_out(&self, token: String) -> Option<String> {
        if is_short_name(&token) { self.known.find(&token) } else { Some(token) }
    }

    /// From now on the token, which was found good, can be shown by its short name.
    pub fn remember(&self, token: &str) {
        if token.len() > TOKEN_BYTES_SHORT {
            self.known.add(token);
        }
    }

    /// What a token of this relay says, whether or not it still opens anything.
    pub fn read(&self, token: &str) -> Option<Grant> {
        let (key, claims) = self.verify(token)?;
        claims.grant(Signer::Key(key))
    }

    /// Whether a grant still opens anything: its token may have been taken back since, or its workspace suspended.
    pub fn check_again(&self, grant: &Grant) -> Result<(), TokenFault> {
        if self.is_revoked(grant) {
            return Err(TokenFault::Revoked);
        }
        if grant.expires <= self.clock.now() {
            return Err(TokenFault::Expired);
        }
        match self.openness(&grant.workspace) {
            Openness::Open => Ok(()),
            Openness::Suspended(_) | Openness::Removing(_) => Err(TokenFault::Suspended),
        }
    }

    /// Whether the grant's token has been taken back, or its key has.
    fn is_revoked(&self, grant: &Grant) -> bool {
        let ledger = self.catalog.ledger();
        let key_is_gone = match &grant.signer {
            Signer::Key(key) => self.catalog.find(key).is_none(),
            Signer::Login => false,
        };
        key_is_gone || ledger.is_revoked(&grant.id, &grant.workspace, grant.issued)
    }

    /// Takes a token back, by its id: its sessions end within a second. Waits for the disk.
    pub fn revoke(&self, id: &str) -> Result<(), CatalogError> {
        self.catalog.ledger().add(&Fact::Revoked { id: id.to_owned(), at: self.clock.now().to_string() })
    }

    /// Takes back all tokens of a workspace that were made by now. Waits for the disk.
    pub fn revoke_all(&self, workspace: &WorkspaceId) -> Result<(), CatalogError> {
        let workspace = workspace.as_str().to_owned();
        self.catalog.ledger().add(&Fact::WorkspaceRevoked { workspace, at: self.clock.now().to_string() })
    }

    /// The tokens that were made, of one workspace or of all, and since when each opens nothing.
    pub fn tokens(&self, workspace: Option<&WorkspaceId>) -> Vec<(Issued, Option<String>)> {
        self.catalog.ledger().issued(workspace)
    }

    /// Counts up when something may have been revoked.
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.catalog.ledger().changes()
    }

    /// How long the grant is still good for.
    pub fn time_left(&self, grant: &Grant) -> Duration {
        let left_ms = grant.expires.unix_ms.saturating_sub(self.clock.now().unix_ms);
        Duration::from_millis(left_ms.try_into().unwrap_or(0))
    }

    fn verify(&self, token: &str) -> Option<(String, Claims)> {
        let token = UntrustedToken::<Public, V4>::try_from(token).ok()?;
        let footer: Footer = serde_json::from_slice(token.untrusted_footer()).ok()?;
        let key = self.catalog.find(&footer.kid)?;
        let trusted = PublicToken::verify(&key.public, &token, None, None).ok()?;
        Some((footer.kid, serde_json::from_str(trusted.payload()).ok()?))
    }
}

/// The role's name in tokens and on the command line.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Reader => "reader",
        Role::Editor => "editor",
        Role::Admin => "admin",
    }
}

/// The role with this name.
pub fn role_by_name(name: &str) -> Option<Role> {
    [Role::Reader, Role::Editor, Role::Admin].into_iter().find(|role| role_name(*role) == name)
}
