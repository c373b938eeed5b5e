//! Access control: makes and checks tokens, and makes [`Grant`]s, the proof that a token was checked. Must not know
//! sessions or the log.
//!
//! A token is a PASETO `v4.public` (Ed25519). Payload: JSON with `workspace`, `role`, `name`, `iat`, `exp` (RFC 3339),
//! `jti`, and where they were given `sub` (`device:NAME` or `user:NAME`) and `collections` (name or `*` to `none`, `read`,
//! `write`). Footer: JSON with `kid`, the id of the key that signed it.

mod claims;
mod jwt;
mod kept;
mod pairing;
mod permissions;
mod subject;

use crate::catalog::{Catalog, CatalogError, Fact, Issued};
use crate::clock::Clock;
use crate::text::{Told, hex};
use claims::{Claims, Footer};
use comptoir_engine::id::{Collection, WorkspaceId};
use comptoir_engine::time::Timestamp;
use comptoir_engine::wire::message::{Denial, Role, TOKEN_BYTES_MAX, Writable};
pub use jwt::{JWKS_BYTES_MAX, JwksError, Logins};
pub use kept::KeptGrant;
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

/// Proof that a token was checked: which workspace it opens, and what for. Only [`Auth::check`] makes one.
#[derive(Debug, Clone)]
pub struct Grant {
    workspace: WorkspaceId,
    role: Role,
    permissions: Permissions,
    subject: Option<Subject>,
    name: String,
    id: String,
    signer: Signer,
    issued: Timestamp,
    expires: Timestamp,
}

impl Grant {
    /// The workspace.
    pub fn workspace(&self) -> &WorkspaceId {
        &self.workspace
    }

    /// What it allows.
    pub fn role(&self) -> Role {
        self.role
    }

    /// What it allows with this collection's records.
    pub fn access(&self, collection: &Collection) -> Access {
        self.permissions.of_role(self.role, collection)
    }

    /// Where it may write, where that is not everywhere although the role is more than a reader's.
    pub fn writable(&self) -> Option<Writable> {
        self.permissions.writable(self.role)
    }

    /// Whether every collection may be read.
    pub fn reads_all(&self) -> bool {
        self.permissions.reads_all()
    }

    /// Who the token was made for.
    pub fn subject(&self) -> Option<&Subject> {
        self.subject.as_ref()
    }

    /// The token's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the token was made.
    pub fn issued(&self) -> Timestamp {
        self.issued
    }

    /// What the operator called the token; may be empty.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it ends.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// Who signed a token.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Signer {
    /// This relay, with the key of this id.
    Key(String),
    /// An app's own login.
    Login,
}

/// Proof that the caller has the relay's signing keys: who could make itself a token for any workspace may read them all.
pub struct Operator(());

impl Operator {
    /// Only a catalog of keys that is open proves it.
    pub fn with(_: &Catalog) -> Self {
        Self(())
    }
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
}

impl From<TokenFault> for Denial {
    fn from(fault: TokenFault) -> Self {
        match fault {
            TokenFault::Missing => Self::TokenMissing,
            TokenFault::Invalid => Self::TokenInvalid,
            TokenFault::Expired => Self::TokenExpired,
            TokenFault::WrongWorkspace => Self::WrongWorkspace,
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
}

impl Auth {
    /// Stands on these keys and this clock.
    pub fn new(catalog: Arc<Catalog>, clock: Arc<dyn Clock>) -> Self {
        Self { catalog, clock, guesses: Arc::default(), logins: None }
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
        const VALID_FOR_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);
        if request.name.len() > TOKEN_NAME_BYTES_MAX || request.name.chars().any(char::is_control) {
            return Err(IssueError::Name);
        }
        if request.valid_for > VALID_FOR_MAX {
            return Err(IssueError::Expiry);
        }
        let mut token_id = [0; 16];
        getrandom::fill(&mut token_id).map_err(|_| CatalogError::NoRandom)?;
        let now = self.clock.now();
        let expires = Timestamp { unix_ms: now.unix_ms.saturating_add(request.valid_for.as_millis() as i64) };
        let access = |(name, access): (&str, Access)| (name.to_owned(), access.name().to_owned());
        let claims = Claims {
            workspace: request.workspace.as_str().to_owned(),
            role: role_name(request.role).to_owned(),
            name: request.name.clone(),
            iat: now.to_string(),
            exp: expires.to_string(),
            // No letter of it looks like an option on a command line.
            jti: hex(&token_id),
            sub: request.subject.as_ref().map(Subject::to_string),
            collections: request.permissions.pairs().into_iter().map(access).collect(),
        };
        let key = self.catalog.newest();
        let payload = serde_json::to_vec(&claims).map_err(|_| IssueError::Signing)?;
        let footer = serde_json::to_vec(&Footer { kid: key.id.clone() }).map_err(|_| IssueError::Signing)?;
        let token = PublicToken::sign(&key.secret, &payload, Some(&footer), None).map_err(|_| IssueError::Signing)?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(IssueError::TooLong);
        }
        Ok((claims, token))
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
            _ => self.read(token).ok_or(TokenFault::Invalid)?,
        };
        if self.is_revoked(&grant) {
            return Err(TokenFault::Revoked);
        }
        if grant.expires <= self.clock.now() {
            return Err(TokenFault::Expired);
        }
        if grant.workspace.as_str() != workspace {
            return Err(TokenFault::WrongWorkspace);
        }
        Ok(grant)
    }

    /// What a token of this relay says, whether or not it still opens anything.
    pub fn read(&self, token: &str) -> Option<Grant> {
        let (key, claims) = self.verify(token)?;
        claims.grant(Signer::Key(key))
    }

    /// Whether the grant's token has been taken back, or its key has.
    pub fn is_revoked(&self, grant: &Grant) -> bool {
        let ledger = self.catalog.ledger();
        let key_is_gone = match &grant.signer {
            Signer::Key(key) => self.catalog.find(key).is_none(),
            Signer::Login => false,
        };
        key_is_gone || ledger.is_revoked(&grant.id, &grant.workspace, grant.issued)
    }

    /// Whether the grant still opens what it did, for what lasts.
    pub fn check_again(&self, grant: &Grant) -> Result<(), TokenFault> {
        match self.is_revoked(grant) {
            true => Err(TokenFault::Revoked),
            false if self.time_left(grant).is_zero() => Err(TokenFault::Expired),
            false => Ok(()),
        }
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
