//! What an operator may do: tokens of their own, which open no workspace's records, and decisions about workspaces. Must not
//! know how a workspace's records are kept.

use super::{Auth, IssueError, TokenFault};
use crate::catalog::{Allowance, Catalog, CatalogError, Fact, Openness};
use comptoir_engine::id::WorkspaceId;
use comptoir_engine::wire::message::TOKEN_BYTES_MAX;
use std::time::Duration;

/// The role of an operator's token in the ledger.
pub const OPERATOR: &str = "operator";

/// Proof that the caller has the relay's signing keys: who could make itself a token for any workspace may read them all.
pub struct Operator(());

impl Operator {
    /// Only a catalog of keys that is open proves it.
    pub fn with(_: &Catalog) -> Self {
        Self(())
    }
}

/// Somebody with an operator's token that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    /// The token's id.
    pub id: String,
    /// What the operator called it; `operator` where nothing was said.
    pub name: String,
}

impl Auth {
    /// Makes an operator's token, and writes into the ledger that it was made. Waits for the disk.
    pub fn issue_to_operator(&self, name: &str, valid_for: Duration) -> Result<String, IssueError> {
        let mut claims = self.claims(name, valid_for)?;
        claims.role = OPERATOR.to_owned();
        let token = self.seal(&claims)?;
        self.catalog.ledger().add(&Fact::Issued(claims.issued()))?;
        Ok(token)
    }

    /// Checks an operator's token.
    pub fn check_operator(&self, token: &str) -> Result<Manager, TokenFault> {
        match token.len() {
            0 => return Err(TokenFault::Missing),
            bytes if bytes > TOKEN_BYTES_MAX => return Err(TokenFault::TooLong),
            _ => {}
        }
        let Some((_, claims)) = self.verify(token) else {
            // An app's own login makes no operators.
            let is_login = self.logins.as_ref().is_some_and(|logins| logins.check(token).is_ok());
            return Err(if is_login { TokenFault::NotOperator } else { TokenFault::Invalid });
        };
        if claims.role != OPERATOR || !claims.workspace.is_empty() {
            return Err(TokenFault::NotOperator);
        }
        if self.catalog.ledger().is_taken_back(&claims.jti) {
            return Err(TokenFault::Revoked);
        }
        if claims.expires().is_none_or(|expires| expires <= self.clock.now()) {
            return Err(TokenFault::Expired);
        }
        let name = if claims.name.is_empty() { OPERATOR.to_owned() } else { claims.name };
        Ok(Manager { id: claims.jti, name })
    }

    /// The id of any token of this relay, whether or not it still opens anything.
    pub fn id_of(&self, token: &str) -> Option<String> {
        Some(self.verify(token)?.1.jti)
    }

    /// Whether a workspace's tokens open it.
    pub fn openness(&self, workspace: &WorkspaceId) -> Openness {
        self.catalog.ledger().openness(workspace)
    }

    /// A workspace's tokens open nothing for now: its sessions end within a second. Waits for the disk, as all of these do.
    pub fn suspend(&self, workspace: &WorkspaceId) -> Result<(), CatalogError> {
        self.decide(workspace, |workspace, at| Fact::WorkspaceSuspended { workspace, at })
    }

    /// They open it again.
    pub fn resume(&self, workspace: &WorkspaceId) -> Result<(), CatalogError> {
        self.decide(workspace, |workspace, at| Fact::WorkspaceResumed { workspace, at })
    }

    /// They never will again. What it holds is the caller's to delete, and then [`Auth::cleared`] to say.
    pub fn remove(&self, workspace: &WorkspaceId) -> Result<(), CatalogError> {
        self.decide(workspace, |workspace, at| Fact::WorkspaceRemoved { workspace, at })
    }

    /// What a removed workspace held is gone: a new one may begin under its name.
    pub fn cleared(&self, workspace: &WorkspaceId) -> Result<(), CatalogError> {
        self.decide(workspace, |workspace, at| Fact::WorkspaceCleared { workspace, at })
    }

    /// A workspace may take so much; what is not said is as in the settings.
    pub fn limit(&self, workspace: &WorkspaceId, allowance: Allowance) -> Result<(), CatalogError> {
        self.decide(workspace, |workspace, _| Fact::WorkspaceLimited { workspace, allowance })
    }

    /// What the operator said that a workspace may take.
    pub fn allowance(&self, workspace: &WorkspaceId) -> Allowance {
        self.catalog.ledger().allowance(workspace)
    }

    /// Every workspace about which anything was decided.
    pub fn decided(&self) -> Vec<WorkspaceId> {
        self.catalog.ledger().decided()
    }

    fn decide(&self, workspace: &WorkspaceId, fact: impl FnOnce(String, String) -> Fact) -> Result<(), CatalogError> {
        self.catalog.ledger().add(&fact(workspace.to_string(), self.clock.now().to_string()))
    }
}
