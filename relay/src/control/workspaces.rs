//! Workspaces as their operator sees and removes them. Must not know what their records are.
//!
//! A removal is in the ledger before anything is deleted, and again once all is gone: cut short, it is finished at the next start.
//! Until then nothing opens the workspace.

use super::Control;
use crate::auth::{Auth, Operator};
use crate::catalog::{Allowance, CatalogError, Openness};
use crate::log::{LogError, Usage};
use crate::text::Told;
use comptoir_engine::id::WorkspaceId;
use comptoir_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Duration, sleep};

/// The wait before a removal that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// One workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Its name.
    pub workspace: String,
    /// `open`, `suspended`, or `removing` while what it held is being deleted.
    pub state: String,
    /// Since when, RFC 3339; none where it is open.
    pub since: Option<String>,
    /// Tokens that open it.
    pub tokens: u64,
    /// Sessions of devices now.
    pub sessions: u32,
    /// Entries of its log.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Stores of devices that have written in it.
    pub devices: u64,
    /// When its last entry came, RFC 3339; none where that is not known.
    pub last_activity: Option<String>,
    /// What it may take, where the operator said so.
    pub limits: Allowance,
}

/// Why nothing was told or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManageError {
    /// Neither a token nor a log.
    #[error("there is no workspace {workspace}: `comptoir-relay workspace list` names them")]
    NoWorkspace {
        /// Which.
        workspace: WorkspaceId,
    },
    /// Its folder of the service device is still there.
    #[error("{workspace} is closed but not all deleted ({cause}): remove it again, or restart the relay")]
    Folder {
        /// Which.
        workspace: WorkspaceId,
        /// The operating system's words.
        cause: String,
    },
    /// The log's.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The ledger's.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Told for ManageError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoWorkspace { .. } => "workspace_unknown",
            Self::Folder { .. } => "workspace_folder",
            Self::Log(error) => error.code(),
            Self::Catalog(error) => error.code(),
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NoWorkspace { workspace } => vec![("workspace", workspace.to_string())],
            Self::Folder { workspace, cause } => {
                vec![("workspace", workspace.to_string()), ("cause", cause.clone())]
            }
            Self::Log(error) => error.args(),
            Self::Catalog(error) => error.args(),
        }
    }
}

impl Control {
    /// Makes, checks and takes back tokens.
    pub fn auth(&self) -> Auth {
        Auth::new(self.keys.clone(), self.clock.clone())
    }

    /// Every workspace that has a log, a good token, or about which something was decided.
    pub async fn workspaces(&self) -> Result<Vec<Workspace>, ManageError> {
        let auth = self.fresh().await?;
        let mut names: BTreeSet<_> = self.log.workspaces(&self.operator()).await?.into_iter().collect();
        names.extend(auth.decided());
        let tokens = self.good_tokens(&auth, None);
        names.extend(tokens.keys().filter_map(|name| WorkspaceId::new(name).ok()));
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let good = tokens.get(name.as_str()).copied().unwrap_or(0);
            found.push(self.described(&auth, &name, good).await?);
        }
        Ok(found)
    }

    /// One of them.
    pub async fn workspace(&self, workspace: &WorkspaceId) -> Result<Workspace, ManageError> {
        self.known(workspace).await?;
        let auth = self.auth();
        let tokens = self.good_tokens(&auth, Some(workspace)).values().sum();
        self.described(&auth, workspace, tokens).await
    }

    /// Deletes all that a workspace holds and closes it to every token that was made by now. Returns when it is gone.
    pub async fn remove(&self, workspace: &WorkspaceId) -> Result<(), ManageError> {
        self.known(workspace).await?;
        let auth = self.auth();
        if !matches!(auth.openness(workspace), Openness::Removing(_)) {
            let (auth, workspace) = (auth.clone(), workspace.clone());
            blocking(move || auth.remove(&workspace)).await?;
        }
        self.clear(workspace).await
    }

    /// Finishes the removals that a process before this one has begun, until `shutdown` turns true.
    pub async fn finish_removals(&self, mut shutdown: watch::Receiver<bool>) {
        let all = async {
            let auth = self.auth();
            let begun = |workspace: &WorkspaceId| matches!(auth.openness(workspace), Openness::Removing(_));
            for workspace in auth.decided().into_iter().filter(begun) {
                while let Err(error) = self.clear(&workspace).await {
                    tracing::error!(%error, %workspace, "a removal cannot be finished: it will be tried again");
                    // wait: what failed may heal
                    sleep(RETRY).await;
                }
                tracing::info!(%workspace, "a removal that was cut short is finished");
            }
        };
        tokio::select! {
            () = all => {}
            _ = shutdown.wait_for(|stopped| *stopped) => {}
        }
    }

    async fn clear(&self, workspace: &WorkspaceId) -> Result<(), ManageError> {
        self.log.remove(&self.operator(), workspace).await?;
        if let Some(services) = &self.services {
            services.close(workspace).await;
        }
        let folders = ["service", "webhooks"].map(|what| self.data.join(what).join(workspace.as_str()));
        let left = |cause: io::Error| ManageError::Folder { workspace: workspace.clone(), cause: cause.to_string() };
        if let Some(webhooks) = &self.webhooks {
            webhooks.clear(workspace).await.map_err(left)?;
        }
        let removed = spawn_blocking(move || {
            folders.iter().try_for_each(|folder| match std::fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            })
        });
        removed.await.map_err(io::Error::other).flatten().map_err(left)?;
        let (auth, workspace) = (self.auth(), workspace.clone());
        blocking(move || auth.cleared(&workspace)).await
    }

    /// Knows what the command line has decided a moment ago.
    async fn fresh(&self) -> Result<Auth, ManageError> {
        let keys = self.keys.clone();
        blocking(move || keys.refresh()).await?;
        Ok(self.auth())
    }

    async fn known(&self, workspace: &WorkspaceId) -> Result<(), ManageError> {
        let auth = self.fresh().await?;
        let named = auth.tokens(Some(workspace)).iter().any(|(_, revoked)| revoked.is_none());
        let known = named
            || auth.decided().contains(workspace)
            || self.log.standing(&self.operator(), workspace).await?.is_some();
        if known { Ok(()) } else { Err(ManageError::NoWorkspace { workspace: workspace.clone() }) }
    }

    /// How many tokens open each workspace.
    fn good_tokens(&self, auth: &Auth, workspace: Option<&WorkspaceId>) -> BTreeMap<String, u64> {
        let now = self.clock.now();
        let is_good = |expires: &str| Timestamp::parse(expires).is_some_and(|expires| expires > now);
        let mut good = BTreeMap::new();
        for (token, revoked) in auth.tokens(workspace) {
            if revoked.is_none() && is_good(&token.expires) {
                *good.entry(token.workspace).or_default() += 1;
            }
        }
        good
    }

    async fn described(&self, auth: &Auth, workspace: &WorkspaceId, tokens: u64) -> Result<Workspace, ManageError> {
        let usage = self.log.usage(&self.operator(), workspace).await?;
        let Usage { entries, bytes, devices, last } = usage.unwrap_or_default();
        let (state, since) = match auth.openness(workspace) {
            Openness::Open => ("open", None),
            Openness::Suspended(at) => ("suspended", Some(at)),
            Openness::Removing(at) => ("removing", Some(at)),
        };
        Ok(Workspace {
            workspace: workspace.to_string(),
            state: state.to_owned(),
            since,
            tokens,
            sessions: self.services.as_ref().map_or(0, |services| services.hub().sessions(workspace)),
            entries,
            bytes,
            devices,
            last_activity: last.map(|last| last.to_string()),
            limits: auth.allowance(workspace),
        })
    }

    fn operator(&self) -> Operator {
        Operator::with(&self.keys)
    }
}

async fn blocking(work: impl FnOnce() -> Result<(), CatalogError> + Send + 'static) -> Result<(), ManageError> {
    Ok(spawn_blocking(work).await.map_err(|_| LogError::Unavailable)??)
}
