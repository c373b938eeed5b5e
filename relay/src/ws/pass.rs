//! A session's right to go on: its token's end, and whether the token was taken back meanwhile or its workspace
//! suspended. Must not know sockets.

use crate::auth::{Auth, Grant, TokenFault};
use comptoir_engine::wire::message::Denial;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A grant, and what may end it.
pub(super) struct Pass {
    auth: Auth,
    grant: Grant,
    expires: Instant,
    revocations: watch::Receiver<u64>,
}

impl Pass {
    /// Checked just now.
    pub(super) fn new(auth: Auth, grant: Grant) -> Self {
        let left = auth.time_left(&grant);
        let left = if planted!(TokenOutlived) { left.max(Duration::from_secs(24 * 60 * 60)) } else { left };
        let (expires, mut revocations) = (Instant::now() + left, auth.revocations());
        // What was revoked between the check and now is found at once.
        revocations.mark_changed();
        Self { auth, grant, expires, revocations }
    }

    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// When the token ends.
    pub(super) fn expires(&self) -> Instant {
        self.expires
    }

    /// Returns once the token has been taken back, or the workspace suspended.
    pub(super) async fn revoked(&mut self) -> Denial {
        loop {
            if self.revocations.changed().await.is_err() {
                // The sender is in the catalog, and that is here.
                std::future::pending::<()>().await;
            }
            if let Err(fault @ (TokenFault::Revoked | TokenFault::Suspended)) = self.auth.check_again(&self.grant) {
                return fault.into();
            }
        }
    }
}
