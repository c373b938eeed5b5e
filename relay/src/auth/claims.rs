//! What a token says, as JSON. Must not know how it is signed.

use super::{Access, Grant, Permissions, Signer, Subject, role_by_name};
use crate::catalog::{Allowance, Issued};
use comptoir_engine::id::WorkspaceId;
use comptoir_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) workspace: String,
    pub(super) role: String,
    pub(super) name: String,
    pub(super) iat: String,
    pub(super) exp: String,
    pub(super) jti: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sub: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) collections: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Allowance::is_usual")]
    pub(super) limits: Allowance,
}

impl Claims {
    /// As the ledger keeps them.
    pub(super) fn issued(&self) -> Issued {
        Issued {
            id: self.jti.clone(),
            workspace: self.workspace.clone(),
            role: self.role.clone(),
            subject: self.sub.clone(),
            name: self.name.clone(),
            collections: self.collections.clone(),
            limits: self.limits,
            issued: self.iat.clone(),
            expires: self.exp.clone(),
        }
    }

    /// When they end; `None` where that is no time.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        Timestamp::parse(&self.exp)
    }

    /// What they grant; `None` where one of them is not a relay's.
    pub(super) fn grant(self, signer: Signer) -> Option<Grant> {
        let access = |(name, access): (&String, &String)| Some((name.clone(), Access::by_name(access)?));
        let collections = self.collections.iter().map(access).collect::<Option<Vec<_>>>()?;
        let permissions = Permissions::of(collections.iter().map(|(name, access)| (name.as_str(), *access))).ok()?;
        Some(Grant {
            workspace: WorkspaceId::new(&self.workspace).ok()?,
            role: role_by_name(&self.role)?,
            permissions,
            allowance: self.limits,
            subject: self.sub.as_deref().map(Subject::parse).map_or(Some(None), |subject| subject.map(Some))?,
            name: self.name,
            id: self.jti,
            signer,
            issued: Timestamp::parse(&self.iat)?,
            expires: Timestamp::parse(&self.exp)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Footer {
    pub(super) kid: String,
}
