//! Webhooks: each follows the change feed of its workspace from a place of its own, and tells an endpoint of every change, in the
//! order of the log, at least once, signed by the Standard Webhooks convention. Beside the sessions: no push waits for one. Must not
//! know how it is asked for.

mod address;
mod attempts;
mod error;
mod follow;
mod hook;
mod kept;
mod message;
mod order;
mod send;
mod shown;

use crate::audit::{Audit, Deed};
use crate::auth::{Access, Auth, COLLECTIONS_MAX, Grant};
use crate::clock::Clock;
use crate::config::WebhookSettings;
use crate::feed::{FeedPlace, seated};
use crate::metrics::{Webhook as WebhookStanding, Webhooks as WebhookStandings};
use crate::room::Hub;
use crate::service::Services;
use crate::text::hex;
pub use attempts::{Attempt, Outcome};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use comptoir_engine::id::{Collection, WorkspaceId};
use comptoir_engine::wire::message::Role;
pub use error::WebhookError;
use follow::{Follower, Post};
use hook::Hook;
use kept::Kept;
pub use kept::{DeadLetter, Reason};
pub use order::{Order, Ordered};
pub use shown::{Created, Failed, NewWebhook, Webhook};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinSet, spawn_blocking};

/// The most changes of one delivery.
pub const BATCH_MAX: usize = 100;
/// The longest name of a webhook, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// The bytes of a secret.
const SECRET_BYTES: usize = 32;

/// Who asks for something.
#[derive(Debug, Clone, Copy)]
pub struct By<'b> {
    /// As the audit names it.
    pub who: &'b str,
    /// The id of the token it was asked with, if any.
    pub token: Option<&'b str>,
}

/// What webhooks stand on.
pub struct Ground {
    /// The logs.
    pub hub: Arc<Hub>,
    /// Checks their tokens again.
    pub auth: Auth,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where it is noted what was done with them.
    pub audit: Audit,
    /// Their limits.
    pub settings: WebhookSettings,
}

type Hooks = BTreeMap<(WorkspaceId, String), Arc<Hook>>;

/// All webhooks of a relay.
pub struct Webhooks {
    folder: PathBuf,
    ground: Ground,
    hooks: Mutex<Hooks>,
    /// One is made or removed at a time.
    changing: tokio::sync::Mutex<()>,
    /// To the task that serves them, where one does.
    new: mpsc::Sender<Arc<Hook>>,
    to_serve: Mutex<Option<mpsc::Receiver<Arc<Hook>>>>,
}

impl Webhooks {
    /// Those of a data folder. What cannot be read is told and left as it is. Waits for the disk.
    pub fn open(data: &Path, ground: Ground) -> Arc<Self> {
        let folder = data.join("webhooks");
        let found = folders(&folder).unwrap_or_else(|error| {
            tracing::error!(folder = %folder.display(), %error, "no webhook can be read");
            Vec::new()
        });
        let mut hooks = Hooks::new();
        for (workspace, id, path) in found {
            match Hook::open(&path, ground.settings.log_max) {
                Ok(Some(hook)) => _ = hooks.insert((workspace, id), hook),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "a webhook cannot be read and sends nothing")
                }
            }
        }
        let (new, to_serve) = mpsc::channel(ground.settings.webhooks_max.min(Semaphore::MAX_PERMITS));
        let (changing, to_serve) = (tokio::sync::Mutex::default(), Mutex::new(Some(to_serve)));
        Arc::new(Self { folder, ground, hooks: Mutex::new(hooks), changing, new, to_serve })
    }

    /// Follows the feed for each of them until the relay stops.
    pub async fn serve(self: Arc<Self>, services: Arc<Services>) {
        let taken = self.to_serve.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut new) = taken else { return };
        let (mut shutdown, mut followers) = (services.shutdown(), JoinSet::new());
        let mut begun = self.all(&mut new);
        // What sends, with its certificates, takes megabytes: it is there for whoever has a webhook.
        if begun.is_empty() {
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stopped| *stopped) => return,
                hook = new.recv() => begun.extend(hook),
            }
        }
        let post = match Post::new(&self.ground, services.clone()) {
            Ok(post) => Arc::new(post),
            Err(error) => return tracing::error!(%error, "no webhook can be sent"),
        };
        loop {
            for hook in begun.drain(..) {
                followers.spawn(Follower::new(hook, post.clone()).run());
            }
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stopped| *stopped) => break,
                hook = new.recv() => begun.extend(hook),
                Some(ended) = followers.join_next() => told(ended),
            }
        }
        while let Some(ended) = followers.join_next().await {
            told(ended);
        }
    }

    /// Makes one, which tells what the grant's token may read. Its secret is told this once.
    pub async fn create(&self, grant: &Grant, wanted: NewWebhook, by: By<'_>) -> Result<Created, WebhookError> {
        if grant.role() < Role::Admin {
            return Err(WebhookError::NotAdmin);
        }
        let settings = &self.ground.settings;
        address::parse_url(&wanted.url, settings)?;
        check(grant, &wanted)?;
        let place = self.place(grant, wanted.after.as_deref().unwrap_or("end")).await?;
        let _turn = self.changing.lock().await;
        let workspace = grant.workspace();
        self.check_room(workspace)?;
        let mut random = [0; SECRET_BYTES + 8];
        getrandom::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let (secret, id) = random.split_at(SECRET_BYTES);
        let (id, secret) = (format!("wh_{}", hex(id)), format!("whsec_{}", BASE64_STANDARD.encode(secret)));
        let kept = Kept::new((id.clone(), secret.clone()), wanted, grant, place, self.ground.clock.now());
        let (folder, log_max) = (self.folder.join(workspace.as_str()).join(&id), settings.log_max);
        let made = spawn_blocking(move || Hook::make(&folder, kept, log_max)).await;
        let hook = made.map_err(io::Error::other)??;
        let mut hooks = self.held();
        hooks.insert((workspace.clone(), id.clone()), hook.clone());
        // Where nobody serves them, the next one who does begins it.
        let _ = self.new.try_send(hook.clone());
        drop(hooks);
        self.note("webhook.created", workspace, by, &id);
        Ok(Created { webhook: Webhook::of(&hook), secret })
    }

    /// Those of a workspace.
    pub fn list(&self, workspace: &WorkspaceId) -> Vec<Webhook> {
        let of = |((of, _), hook): (&(WorkspaceId, String), &Arc<Hook>)| (of == workspace).then(|| Webhook::of(hook));
        self.held().iter().filter_map(of).collect()
    }

    /// One of them.
    pub fn show(&self, workspace: &WorkspaceId, id: &str) -> Result<Webhook, WebhookError> {
        self.find(workspace, id).map(|hook| Webhook::of(&hook))
    }

    /// Takes one away, with its log and its dead letters.
    pub async fn remove(&self, workspace: &WorkspaceId, id: &str, by: By<'_>) -> Result<(), WebhookError> {
        let _turn = self.changing.lock().await;
        let hook = self.find(workspace, id)?;
        hook.remove().await?;
        self.held().remove(&(workspace.clone(), id.to_owned()));
        self.note("webhook.removed", workspace, by, id);
        Ok(())
    }

    /// Takes all of a workspace away, which is being removed.
    pub async fn clear(&self, workspace: &WorkspaceId) -> io::Result<()> {
        let _turn = self.changing.lock().await;
        let of = |((of, id), hook): (&(WorkspaceId, String), &Arc<Hook>)| {
            (of == workspace).then(|| (id.clone(), hook.clone()))
        };
        let found: Vec<_> = self.held().iter().filter_map(of).collect();
        for (id, hook) in found {
            hook.remove().await?;
            self.held().remove(&(workspace.clone(), id));
        }
        Ok(())
    }

    /// Its newest attempts, the newest first.
    pub async fn attempts(
        &self,
        workspace: &WorkspaceId,
        id: &str,
        limit: usize,
    ) -> Result<Vec<Attempt>, WebhookError> {
        Ok(self.find(workspace, id)?.attempts(limit).await?)
    }

    /// Its dead letters, the oldest first.
    pub fn dead_letters(&self, workspace: &WorkspaceId, id: &str) -> Result<Vec<DeadLetter>, WebhookError> {
        Ok(self.find(workspace, id)?.letters())
    }

    /// Has dead letters sent again, soon: these, or all. How many.
    pub async fn resend(
        &self,
        workspace: &WorkspaceId,
        id: &str,
        letters: Option<Vec<String>>,
        by: By<'_>,
    ) -> Result<usize, WebhookError> {
        let hook = self.find(workspace, id)?;
        match hook.kept().suspended {
            None | Some(Reason::DeadLettersFull) => {}
            Some(reason) => return Err(WebhookError::Suspended { reason: reason.name() }),
        }
        let count = hook.resend(letters).await?;
        self.note("webhook.resent", workspace, by, id);
        Ok(count)
    }

    /// Takes a dead letter away.
    pub async fn discard(
        &self,
        workspace: &WorkspaceId,
        id: &str,
        letter: &str,
        by: By<'_>,
    ) -> Result<(), WebhookError> {
        if !self.find(workspace, id)?.discard(letter).await? {
            return Err(WebhookError::NoLetter { id: letter.to_owned() });
        }
        self.note("webhook.discarded", workspace, by, id);
        Ok(())
    }

    /// Has it go on behind a place, `start` or `end`; where it stands, where none is said. One that was suspended sends again.
    pub async fn replay(
        &self,
        workspace: &WorkspaceId,
        id: &str,
        after: Option<&str>,
        by: By<'_>,
    ) -> Result<Webhook, WebhookError> {
        let hook = self.find(workspace, id)?;
        let suspended = |fault| WebhookError::Suspended { reason: Reason::from(fault).name() };
        let grant = self.ground.auth.take_up(&hook.kept().grant).map_err(suspended)?;
        let place = match after {
            Some(after) => Some(self.place(&grant, after).await?),
            None => None,
        };
        hook.restart(place).await?;
        self.note("webhook.replayed", workspace, by, id);
        Ok(Webhook::of(&hook))
    }

    /// How they stand, for the metrics.
    pub fn standings(&self) -> WebhookStandings {
        let mut standings = WebhookStandings::default();
        for ((workspace, _), hook) in self.held().iter() {
            let is_active = hook.kept().suspended.is_none();
            let count = if is_active { &mut standings.active } else { &mut standings.suspended };
            *count += 1;
            let (lag_entries, dead_letters) = (hook.lag_entries().unwrap_or(0), hook.letters().len());
            standings.each.push(WebhookStanding { workspace: workspace.clone(), lag_entries, dead_letters });
        }
        standings
    }

    /// All that there are now: none of them comes as a new one too, for it would have two followers.
    fn all(&self, new: &mut mpsc::Receiver<Arc<Hook>>) -> Vec<Arc<Hook>> {
        let hooks = self.held();
        while new.try_recv().is_ok() {}
        hooks.values().cloned().collect()
    }

    fn held(&self) -> MutexGuard<'_, Hooks> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, workspace: &WorkspaceId, id: &str) -> Result<Arc<Hook>, WebhookError> {
        let found = self.held().get(&(workspace.clone(), id.to_owned())).cloned();
        found.ok_or_else(|| WebhookError::Unknown { workspace: workspace.clone(), id: id.to_owned() })
    }

    fn check_room(&self, workspace: &WorkspaceId) -> Result<(), WebhookError> {
        let (settings, hooks) = (&self.ground.settings, self.held());
        let of_workspace = hooks.keys().filter(|(of, _)| of == workspace).count();
        let limits = [
            (of_workspace, settings.per_workspace_max, "per_workspace_max"),
            (hooks.len(), settings.webhooks_max, "webhooks_max"),
        ];
        match limits.into_iter().find(|(count, limit, _)| count >= limit) {
            Some((_, webhooks_max, setting)) => Err(WebhookError::Full { webhooks_max, setting }),
            None => Ok(()),
        }
    }

    /// The place that a text says, in the log as it is now.
    async fn place(&self, grant: &Grant, after: &str) -> Result<FeedPlace, WebhookError> {
        let seat = seated(self.ground.hub.watch(grant)).await?;
        let (epoch, tail) = (seat.room().epoch(), seat.room().durable().tail);
        match after {
            "start" => Ok(FeedPlace::first(epoch)),
            "end" => Ok(FeedPlace::behind(epoch, tail)),
            cursor => {
                let place = FeedPlace::parse(cursor).filter(|place| place.epoch == epoch && place.after <= tail);
                place.ok_or(WebhookError::Place)
            }
        }
    }

    fn note(&self, deed: &str, workspace: &WorkspaceId, by: By<'_>, detail: &str) {
        self.ground.audit.note(&Deed { deed, who: by.who, workspace: Some(workspace), token: by.token, detail });
    }
}

/// What is wanted, and may be told to the token's holder.
fn check(grant: &Grant, wanted: &NewWebhook) -> Result<(), WebhookError> {
    if !(1..=BATCH_MAX).contains(&wanted.batch.unwrap_or(1)) {
        return Err(WebhookError::Batch);
    }
    let is_name = |name: &String| name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
    if !wanted.name.as_ref().is_none_or(is_name) {
        return Err(WebhookError::Name);
    }
    if wanted.collections.len() > COLLECTIONS_MAX {
        return Err(WebhookError::Collections);
    }
    let may_read = |name: &str| Collection::new(name).is_ok_and(|name| grant.access(&name) >= Access::Read);
    match wanted.collections.iter().find(|name| !may_read(name)) {
        Some(collection) => Err(WebhookError::Collection { collection: collection.clone() }),
        None => Ok(()),
    }
}

/// The folders of all webhooks, with their workspaces and ids.
fn folders(folder: &Path) -> io::Result<Vec<(WorkspaceId, String, PathBuf)>> {
    let mut found = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    for workspace in fs::read_dir(folder)? {
        let workspace = workspace?;
        let Ok(name) = WorkspaceId::new(&workspace.file_name().to_string_lossy()) else { continue };
        for entry in fs::read_dir(workspace.path())? {
            let entry = entry?;
            let id = entry.file_name().to_string_lossy().into_owned();
            if id.starts_with("wh_") {
                found.push((name.clone(), id, entry.path()));
            }
        }
    }
    Ok(found)
}

fn told(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the task of a webhook failed");
    }
}
