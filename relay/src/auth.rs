//! Access control: makes and checks tokens, and makes [`Grant`]s, the proof that a token was checked. Must not know
//! sessions or the log.
//!
//! A token is a PASETO `v4.public` (Ed25519). Payload: JSON with `workspace`, `role`, `name`, `iat`, `exp` (RFC 3339)
//! and `jti`. Footer: JSON with `kid`, the id of the key that signed it.

use crate::catalog::{Catalog, CatalogError};
use crate::clock::Clock;
use crate::text::Told;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use comptoir_engine::id::WorkspaceId;
use comptoir_engine::time::Timestamp;
use comptoir_engine::wire::message::{Denial, Role, TOKEN_BYTES_MAX};
use pasetors::Public;
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The longest name of a token, in bytes.
pub const TOKEN_NAME_BYTES_MAX: usize = 128;

/// Proof that a token was checked: which workspace it opens, and what for. Only [`Auth::check`] makes one.
#[derive(Debug, Clone)]
pub struct Grant {
    workspace: WorkspaceId,
    role: Role,
    name: String,
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

    /// What the operator called the token; may be empty.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it ends.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }
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
}

impl From<TokenFault> for Denial {
    fn from(fault: TokenFault) -> Self {
        match fault {
            TokenFault::Missing => Self::TokenMissing,
            TokenFault::Invalid => Self::TokenInvalid,
            TokenFault::Expired => Self::TokenExpired,
            TokenFault::WrongWorkspace => Self::WrongWorkspace,
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
            Self::Signing => "token_signing",
            Self::Catalog(error) => error.code(),
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Name => vec![("bytes_max", TOKEN_NAME_BYTES_MAX.to_string())],
            Self::Catalog(error) => error.args(),
            Self::Expiry | Self::Signing => Vec::new(),
        }
    }
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// The workspace it opens.
    pub workspace: WorkspaceId,
    /// What it allows.
    pub role: Role,
    /// What the operator calls it.
    pub name: String,
    /// How long it is good for: 100 years at most.
    pub valid_for: Duration,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    workspace: String,
    role: String,
    name: String,
    iat: String,
    exp: String,
    jti: String,
}

#[derive(Serialize, Deserialize)]
struct Footer {
    kid: String,
}

/// Makes and checks tokens.
#[derive(Clone)]
pub struct Auth {
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
}

impl Auth {
    /// Stands on these keys and this clock.
    pub fn new(catalog: Arc<Catalog>, clock: Arc<dyn Clock>) -> Self {
        Self { catalog, clock }
    }

    /// Makes a token, good from now on.
    pub fn issue(&self, request: &TokenRequest) -> Result<String, IssueError> {
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
        let claims = Claims {
            workspace: request.workspace.as_str().to_owned(),
            role: role_name(request.role).to_owned(),
            name: request.name.clone(),
            iat: now.to_string(),
            exp: expires.to_string(),
            jti: BASE64_URL_SAFE_NO_PAD.encode(token_id),
        };
        let key = self.catalog.newest();
        let payload = serde_json::to_vec(&claims).map_err(|_| IssueError::Signing)?;
        let footer = serde_json::to_vec(&Footer { kid: key.id.clone() }).map_err(|_| IssueError::Signing)?;
        PublicToken::sign(&key.secret, &payload, Some(&footer), None).map_err(|_| IssueError::Signing)
    }

    /// Checks a token for a workspace: signature first, then time, then workspace.
    pub fn check(&self, token: &str, workspace: &str) -> Result<Grant, TokenFault> {
        match token.len() {
            0 => return Err(TokenFault::Missing),
            bytes if bytes > TOKEN_BYTES_MAX => return Err(TokenFault::TooLong),
            _ => {}
        }
        let claims = self.verify(token).ok_or(TokenFault::Invalid)?;
        let expires = Timestamp::parse(&claims.exp).ok_or(TokenFault::Invalid)?;
        let role = role_by_name(&claims.role).ok_or(TokenFault::Invalid)?;
        let granted = WorkspaceId::new(&claims.workspace).map_err(|_| TokenFault::Invalid)?;
        if expires <= self.clock.now() {
            return Err(TokenFault::Expired);
        }
        if granted.as_str() != workspace {
            return Err(TokenFault::WrongWorkspace);
        }
        Ok(Grant { workspace: granted, role, name: claims.name, expires })
    }

    /// How long the grant is still good for.
    pub fn time_left(&self, grant: &Grant) -> Duration {
        let left_ms = grant.expires.unix_ms.saturating_sub(self.clock.now().unix_ms);
        Duration::from_millis(left_ms.try_into().unwrap_or(0))
    }

    fn verify(&self, token: &str) -> Option<Claims> {
        let token = UntrustedToken::<Public, V4>::try_from(token).ok()?;
        let footer: Footer = serde_json::from_slice(token.untrusted_footer()).ok()?;
        let key = self.catalog.find(&footer.kid)?;
        let trusted = PublicToken::verify(&key.public, &token, None, None).ok()?;
        serde_json::from_str(trusted.payload()).ok()
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
