//! What the operator decided about workspaces: which are suspended or being removed, and what each may take. Must not know
//! tokens.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one workspace, or one token, may take, where that is not as the settings say; 0: as much as there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowance {
    /// Changes that may be pushed in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_per_second: Option<u32>,
    /// Bytes that may be pushed in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u32>,
    /// REST requests in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// Bytes that its log may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_bytes_max: Option<u64>,
}

impl Allowance {
    /// Whether nothing is said.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// These, and where they say nothing, those.
    pub fn or(self, others: Self) -> Self {
        Self {
            changes_per_second: self.changes_per_second.or(others.changes_per_second),
            bytes_per_second: self.bytes_per_second.or(others.bytes_per_second),
            requests_per_second: self.requests_per_second.or(others.requests_per_second),
            log_bytes_max: self.log_bytes_max.or(others.log_bytes_max),
        }
    }
}

/// Whether a workspace's tokens open it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Openness {
    /// They do.
    #[default]
    Open,
    /// They do not, since then (RFC 3339).
    Suspended(String),
    /// They never will again, since then, and what it held is being deleted.
    Removing(String),
}

/// What was decided about each workspace, of those about which anything was.
#[derive(Default)]
pub(super) struct Decided(BTreeMap<String, (Openness, Allowance)>);

impl Decided {
    pub(super) fn suspend(&mut self, workspace: String, at: String) {
        let (openness, _) = self.0.entry(workspace).or_default();
        if *openness == Openness::Open {
            *openness = Openness::Suspended(at);
        }
    }

    pub(super) fn resume(&mut self, workspace: &str) {
        if let Some((openness @ Openness::Suspended(_), _)) = self.0.get_mut(workspace) {
            *openness = Openness::Open;
        }
        self.0.retain(|_, decided| *decided != Default::default());
    }

    pub(super) fn remove(&mut self, workspace: String, at: String) {
        self.0.insert(workspace, (Openness::Removing(at), Allowance::default()));
    }

    pub(super) fn cleared(&mut self, workspace: &str) {
        self.0.remove(workspace);
    }

    pub(super) fn limit(&mut self, workspace: String, allowance: Allowance) {
        self.0.entry(workspace).or_default().1 = allowance;
        self.0.retain(|_, decided| *decided != Default::default());
    }

    pub(super) fn of(&self, workspace: &str) -> (Openness, Allowance) {
        self.0.get(workspace).cloned().unwrap_or_default()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}
