//! What a checked token opens. Must not know how it was checked.

use super::{Access, Permissions, Signer, Subject};
use crate::catalog::Allowance;
use comptoir_engine::id::{Collection, WorkspaceId};
use comptoir_engine::time::Timestamp;
use comptoir_engine::wire::message::{Reach, Role};

/// Proof that a token was checked: which workspace it opens, and what for. Only [`Auth::check`](super::Auth::check) makes one.
#[derive(Debug, Clone)]
pub struct Grant {
    pub(super) workspace: WorkspaceId,
    pub(super) role: Role,
    pub(super) permissions: Permissions,
    pub(super) allowance: Allowance,
    pub(super) subject: Option<Subject>,
    pub(super) name: String,
    pub(super) id: String,
    pub(super) signer: Signer,
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
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

    /// What it allows by collection.
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Where it may write, where that is not everywhere although the role is more than a reader's.
    pub fn writable(&self) -> Option<Reach> {
        self.permissions.writable(self.role)
    }

    /// What it may read, where that is not everything.
    pub fn readable(&self) -> Option<Reach> {
        self.permissions.readable()
    }

    /// Whether any collection of the shop's may be read.
    pub fn reads_any(&self) -> bool {
        self.permissions.reads_any()
    }

    /// Whether every collection may be read.
    pub fn reads_all(&self) -> bool {
        self.permissions.reads_all()
    }

    /// What it may take in a second, beside its workspace's limits.
    pub fn allowance(&self) -> Allowance {
        self.allowance
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
