//! Tokens of somebody else's login: JWTs whose keys are published as a JWKS, in a file or at a URL. Must not know sessions.
//!
//! RFC 7519 (JWT), RFC 7517 (JWK). Signatures with public keys only: a shared secret would have to be in the file. `exp` is required, `nbf`
//! and the issuer and the audience from the settings are checked; names of the claims come from the settings.

use super::{Access, Grant, Permissions, Signer, Subject, TokenFault, role_by_name};
use crate::catalog::Allowance;
use crate::config::JwtSettings;
use crate::text::hex;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use comptoir_engine::id::WorkspaceId;
use comptoir_engine::time::Timestamp;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::sync::{PoisonError, RwLock};
use tokio::sync::Notify;

/// The longest JWKS, in bytes.
pub const JWKS_BYTES_MAX: u64 = 256 << 10;
/// Clocks may differ by so much, in seconds.
const LEEWAY_S: u64 = 30;
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS512,
];

/// Why a JWKS cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// It cannot be read or fetched.
    #[error("the keys of the login at {place} cannot be read ({cause}): check the setting jwt.jwks")]
    Unreadable {
        /// The file or the URL.
        place: String,
        /// What stood in the way.
        cause: String,
    },
    /// It is no JWKS.
    #[error("{place} is no JWKS ({cause}): give a file or a URL with the public keys of your login as JSON")]
    NotKeys {
        /// The file or the URL.
        place: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// Checks JWTs by the keys it was given last.
pub struct Logins {
    settings: JwtSettings,
    keys: RwLock<JwkSet>,
    /// A token named a key that is not there: there may be newer ones.
    pub(super) unknown_key: Notify,
}

impl Logins {
    /// Knows no keys yet.
    pub fn new(settings: JwtSettings) -> Self {
        Self { settings, keys: RwLock::new(JwkSet { keys: Vec::new() }), unknown_key: Notify::new() }
    }

    /// Where the keys come from.
    pub fn settings(&self) -> &JwtSettings {
        &self.settings
    }

    /// Takes these keys in the place of those before.
    pub fn set_keys(&self, json: &[u8]) -> Result<(), JwksError> {
        let keys: JwkSet = serde_json::from_slice(json)
            .map_err(|error| JwksError::NotKeys { place: self.settings.jwks.clone(), cause: error.to_string() })?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// The id by which a login's token is revoked, whoever signed it; `None` when it is no JWT.
    pub fn id_of(token: &str) -> Option<String> {
        let [_, payload, _] = token.split('.').collect::<Vec<_>>().try_into().ok()?;
        decode_header(token).ok()?;
        let claims: Map<String, Value> = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        Some(id(token, &claims))
    }

    /// Returns when a token named a key that was not there.
    pub async fn unknown_key(&self) {
        self.unknown_key.notified().await;
    }

    /// What the token grants. Its end is the caller's to check, beside the clock here.
    pub(super) fn check(&self, token: &str) -> Result<Grant, TokenFault> {
        let header = decode_header(token).map_err(|_| TokenFault::Invalid)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(TokenFault::Invalid);
        }
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = match (&header.kid, keys.keys.as_slice()) {
            (Some(id), _) => keys.find(id),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let Some(key) = key else {
            self.unknown_key.notify_one();
            return Err(TokenFault::Invalid);
        };
        if key.common.key_algorithm.is_some_and(|algorithm| algorithm.to_string() != format!("{:?}", header.alg)) {
            return Err(TokenFault::Invalid);
        }
        let decoding = DecodingKey::from_jwk(key).map_err(|_| TokenFault::Invalid)?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        // The relay's own clock says whether it has expired.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        let claims =
            decode::<Map<String, Value>>(token, &decoding, &validation).map_err(|_| TokenFault::Invalid)?.claims;
        self.grant(token, &claims).ok_or(TokenFault::Invalid)
    }

    fn grant(&self, token: &str, claims: &Map<String, Value>) -> Option<Grant> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let time = |name: &str| {
            let seconds = claims.get(name)?.as_f64().filter(|seconds| (0.0..1e11).contains(seconds))?;
            Some(Timestamp { unix_ms: (seconds * 1000.0) as i64 })
        };
        let role = text(&self.settings.role_claim).unwrap_or(&self.settings.role);
        let user = text("sub")?;
        let permissions = match claims.get(&self.settings.collections_claim) {
            None => Permissions::ALL,
            Some(given) => {
                let pair = |(name, access): (&String, &Value)| Some((name.clone(), Access::by_name(access.as_str()?)?));
                let pairs = given.as_object()?.iter().map(pair).collect::<Option<Vec<_>>>()?;
                Permissions::of(pairs.iter().map(|(name, access)| (name.as_str(), *access))).ok()?
            }
        };
        let expires = time("exp")?;
        Some(Grant {
            workspace: WorkspaceId::new(text(&self.settings.workspace_claim)?).ok()?,
            role: role_by_name(role)?,
            permissions,
            allowance: Allowance::default(),
            subject: Some(Subject::parse(&format!("user:{user}"))?),
            name: user.to_owned(),
            id: id(token, claims),
            signer: Signer::Login,
            issued: time("iat").unwrap_or(Timestamp { unix_ms: 0 }),
            expires,
        })
    }
}

/// Its `jti`; where it has none, its hash.
fn id(token: &str, claims: &Map<String, Value>) -> String {
    let given = claims.get("jti").and_then(Value::as_str);
    given.map_or_else(|| hex(&Sha256::digest(token.as_bytes())), str::to_owned)
}
