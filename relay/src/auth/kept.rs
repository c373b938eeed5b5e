//! A grant as it is written down, for work that goes on when the relay starts again. Must not know what work.

use super::claims::Claims;
use super::{Access, Auth, Grant, Signer, TokenFault, role_name};
use serde::{Deserialize, Serialize};

/// What a checked token said, without the token. Only the relay's own files hold it: whoever writes those has its keys too.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeptGrant {
    /// What the token said.
    #[serde(flatten)]
    claims: Claims,
    /// The key that signed it; none for a token of an app's own login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl KeptGrant {
    /// The id of the token.
    pub fn token(&self) -> &str {
        &self.claims.jti
    }

    /// Who the token was for, or its name.
    pub fn who(&self) -> &str {
        self.claims.sub.as_deref().unwrap_or(&self.claims.name)
    }
}

impl Grant {
    /// To be written down.
    pub fn keep(&self) -> KeptGrant {
        let access = |(name, access): (&str, Access)| (name.to_owned(), access.name().to_owned());
        let claims = Claims {
            workspace: self.workspace.to_string(),
            role: role_name(self.role).to_owned(),
            name: self.name.clone(),
            iat: self.issued.to_string(),
            exp: self.expires.to_string(),
            jti: self.id.clone(),
            sub: self.subject.as_ref().map(ToString::to_string),
            collections: self.permissions.pairs().into_iter().map(access).collect(),
            limits: self.allowance,
        };
        let key = match &self.signer {
            Signer::Key(key) => Some(key.clone()),
            Signer::Login => None,
        };
        KeptGrant { claims, key }
    }
}

impl Auth {
    /// The grant that was written down, if its token would still be good.
    pub fn take_up(&self, kept: &KeptGrant) -> Result<Grant, TokenFault> {
        let signer = kept.key.clone().map_or(Signer::Login, Signer::Key);
        if signer == Signer::Login && self.logins.is_none() {
            return Err(TokenFault::Invalid);
        }
        let grant = kept.claims.clone().grant(signer).ok_or(TokenFault::Invalid)?;
        self.check_again(&grant).map(|()| grant)
    }
}
