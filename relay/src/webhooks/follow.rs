//! The follower of one webhook: takes its changes from the feed, one delivery after another, and goes on when a delivery is made
//! or given up. It waits for its endpoint alone, and nobody waits for it. Must not know who asks about it.

mod deliver;

use super::Ground;
use super::hook::{Hook, Wake};
use super::kept::{Kept, Reason};
use super::message::Pending;
use super::send::Sender;
use crate::audit::{Audit, Deed};
use crate::auth::{Auth, Grant, TokenFault};
use crate::clock::Clock;
use crate::config::WebhookSettings;
use crate::feed::{Feed, FeedChange, FeedError, FeedPlace, PageMax, seated};
use crate::metrics::Metrics;
use crate::room::Seat;
use crate::service::Services;
use comptoir_engine::id::{Collection, WorkspaceId};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

/// What is read of the feed at once.
const PAGE_MAX: PageMax = PageMax { changes: 128, bytes: 256 << 10 };
/// The wait where the feed or the disk does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// What it is not told of moves its place on the disk only every so many entries.
const SKIPPED_MAX: u64 = 1024;
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// What all followers stand on.
pub(super) struct Post {
    services: Arc<Services>,
    auth: Auth,
    clock: Arc<dyn Clock>,
    audit: Audit,
    metrics: Metrics,
    settings: WebhookSettings,
    sender: Sender,
    quick: Semaphore,
    slow: Semaphore,
}

impl Post {
    pub(super) fn new(ground: &Ground, services: Arc<Services>) -> Result<Self, reqwest::Error> {
        let settings = ground.settings.clone();
        let half = settings.attempts_max.div_ceil(2).min(Semaphore::MAX_PERMITS);
        Ok(Self {
            services,
            auth: ground.auth.clone(),
            clock: ground.clock.clone(),
            audit: ground.audit.clone(),
            metrics: ground.hub.log().metrics().clone(),
            sender: Sender::new(&settings)?,
            quick: Semaphore::new(half),
            slow: Semaphore::new(half),
            settings,
        })
    }
}

/// The follower of one webhook.
pub(super) struct Follower {
    hook: Arc<Hook>,
    post: Arc<Post>,
    seen: Wake,
    /// Kept while it sends, so that it is known how far it is behind.
    seat: Option<Seat>,
    feed: Option<Feed>,
    /// Read and not delivered yet, with the place in front of the first.
    queue: VecDeque<FeedChange>,
    place: Option<FeedPlace>,
    pending: Option<Pending>,
    /// Its last attempt failed, or took long.
    is_slow: bool,
    /// What is wrong with the feed was told.
    is_told: bool,
}

impl Follower {
    pub(super) fn new(hook: Arc<Hook>, post: Arc<Post>) -> Self {
        Self {
            hook,
            post,
            seen: Wake::default(),
            seat: None,
            feed: None,
            queue: VecDeque::new(),
            place: None,
            pending: None,
            is_slow: false,
            is_told: false,
        }
    }

    /// Until the webhook is removed or the relay stops.
    pub(super) async fn run(mut self) {
        let (mut shutdown, mut wake) = (self.post.services.shutdown(), self.hook.subscribe());
        loop {
            let seen = *wake.borrow_and_update();
            if seen.is_removed {
                return;
            }
            if seen.restarts != self.seen.restarts {
                self.let_go();
                self.pending = None;
            }
            self.seen = seen;
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stopped| *stopped) => return,
                _ = wake.wait_for(|wake| wake.is_removed || wake.restarts != seen.restarts) => {}
                () = self.turn() => {}
            }
        }
    }

    /// Leaves the feed: it is read again from what was delivered.
    fn let_go(&mut self) {
        (self.feed, self.place) = (None, None);
        self.queue.clear();
    }

    /// One thing: a wait, a delivery, or a dead letter sent again. It may be cut off at any of its waits.
    async fn turn(&mut self) {
        // Before anything is looked at, so that no change is missed.
        let (mut wake, mut revocations) = (self.hook.subscribe(), self.post.auth.revocations());
        let kept = self.hook.kept();
        if kept.suspended.is_some_and(|reason| reason != Reason::DeadLettersFull) {
            self.let_go();
            (self.pending, self.seat) = (None, None);
            drop(wake.changed().await);
            return;
        }
        let grant = match self.post.auth.take_up(&kept.grant) {
            Ok(grant) => grant,
            // Until the workspace is open again.
            Err(TokenFault::Suspended) => {
                self.let_go();
                (self.pending, self.seat) = (None, None);
                tokio::select! {
                    _ = wake.changed() => {}
                    _ = revocations.changed() => {}
                }
                return;
            }
            Err(fault) => return self.suspend(fault.into()).await,
        };
        if let Some(letter) = self.hook.letters().into_iter().find(|letter| letter.resending) {
            return self.resend(&kept, letter).await;
        }
        if kept.suspended.is_none() && self.pending.is_none() {
            match self.next(&kept, &grant).await {
                Ok(pending) => {
                    self.pending = pending;
                    self.is_told = false;
                }
                Err(error) => return self.wait_for_feed(&error).await,
            }
        }
        let now_ms = self.post.clock.now().unix_ms;
        let due_ms = kept.failing.as_ref().map_or(now_ms, |failing| failing.due_unix_ms);
        let wait = match &self.pending {
            Some(_) if kept.suspended.is_none() && due_ms <= now_ms => return self.deliver(&kept).await,
            Some(_) => Duration::from_millis(due_ms.saturating_sub(now_ms).max(1) as u64),
            None => FAR,
        };
        let until = Instant::now() + wait.min(self.post.auth.time_left(&grant)).min(FAR);
        let follows = self.pending.is_none() && kept.suspended.is_none();
        tokio::select! {
            _ = wake.changed() => {}
            _ = revocations.changed() => {}
            // wait: until it is tried again, or its token ends
            () = sleep_until(until) => {}
            ended = changed(&mut self.feed), if follows => if ended.is_err() { self.let_go() },
        }
    }

    async fn wait_for_feed(&mut self, error: &FeedError) {
        if !self.is_told {
            tracing::warn!(webhook = self.hook.kept().id, %error, "the feed of a webhook is tried again");
        }
        self.is_told = true;
        self.let_go();
        // wait: the log or the workspace's device may be there again
        sleep(RETRY).await;
    }

    /// The next delivery; `None` when nothing more has happened.
    async fn next(&mut self, kept: &Kept, grant: &Grant) -> Result<Option<Pending>, FeedError> {
        if self.queue.is_empty() && !self.fill(kept, grant).await? {
            return Ok(None);
        }
        let after = self.place.unwrap_or(kept.place());
        let size = kept.failing.as_ref().map_or(kept.batch, |failing| failing.changes);
        let changes: Vec<_> = self.queue.drain(..size.clamp(1, self.queue.len())).collect();
        let pending = Pending::of(kept, after, &changes, self.post.clock.now());
        self.place = pending.as_ref().map(|pending| pending.behind);
        if let (Some(failing), Some(pending)) = (&kept.failing, &pending)
            && failing.id != pending.id
        {
            // The log was compacted meanwhile: it is another message, and counts from the start.
            self.save(|kept| kept.failing = None).await;
        }
        Ok(pending)
    }

    /// Reads on. Whether there is something.
    async fn fill(&mut self, kept: &Kept, grant: &Grant) -> Result<bool, FeedError> {
        if self.feed.is_none() {
            self.feed = Some(self.open(kept, grant).await?);
        }
        let Some(feed) = self.feed.as_mut().filter(|feed| feed.has_more()) else { return Ok(false) };
        let before = feed.place();
        // Only while it is needed: its place may be another workspace's.
        let service = self.post.services.for_follower(grant)?;
        let changes = feed.page(&service, PAGE_MAX).await?;
        drop(service);
        let place = feed.place();
        self.place = Some(before);
        if changes.is_empty() {
            self.hook.reached(place);
            if place.after.0 > kept.place().after.0 + SKIPPED_MAX {
                self.save(move |kept| kept.cursor = place.text()).await;
            }
        }
        self.queue.extend(changes);
        Ok(!self.queue.is_empty())
    }

    /// The feed behind what was delivered; from its start where the log was made anew since.
    async fn open(&mut self, kept: &Kept, grant: &Grant) -> Result<Feed, FeedError> {
        let collections = kept.collections.iter().filter_map(|name| Collection::new(name).ok());
        let collections: Vec<Collection> = collections.collect();
        let hub = self.post.services.hub();
        let opened = |seat, place| Feed::open(&self.post.services, grant.clone(), seat, place, collections.clone());
        let feed = match opened(seated(hub.watch(grant)).await?, Some(kept.place())) {
            Err(FeedError::Epoch) => {
                tracing::info!(webhook = kept.id, "the log was made anew: its webhook begins at the start");
                let feed = opened(seated(hub.watch(grant)).await?, None)?;
                let place = feed.place();
                self.save(move |kept| (kept.cursor, kept.failing) = (place.text(), None)).await;
                feed
            }
            feed => feed?,
        };
        self.hook.sits_in(feed.room());
        self.seat = Some(seated(hub.watch(grant)).await?);
        Ok(feed)
    }

    async fn suspend(&mut self, reason: Reason) {
        self.let_go();
        (self.pending, self.seat) = (None, None);
        self.save(move |kept| kept.suspended = Some(reason)).await;
        let kept = self.hook.kept();
        tracing::warn!(webhook = kept.id, workspace = kept.workspace, reason = reason.name(), "a webhook is suspended");
        let workspace = WorkspaceId::new(&kept.workspace).ok();
        let detail = format!("{} {}", kept.id, reason.name());
        let deed = Deed {
            deed: "webhook.suspended",
            who: "relay",
            workspace: workspace.as_ref(),
            token: None,
            detail: &detail,
        };
        self.post.audit.note(&deed);
    }

    /// Writes down what changed. What is not written yet is not gone on from.
    async fn save(&self, change: impl FnOnce(&mut Kept) + Clone + Send + 'static) {
        let restarts = self.seen.restarts;
        self.persist(|hook| {
            let change = change.clone();
            async move { hook.follow_up(restarts, change).await }
        })
        .await;
    }

    async fn persist<W: Future<Output = io::Result<()>>>(&self, write: impl Fn(Arc<Hook>) -> W) {
        while let Err(error) = write(self.hook.clone()).await {
            tracing::error!(%error, "the state of a webhook cannot be written, and is tried again");
            // wait: there may be room on the disk again
            sleep(RETRY).await;
        }
    }
}

async fn changed(feed: &mut Option<Feed>) -> Result<(), FeedError> {
    match feed {
        Some(feed) => feed.changed().await,
        None => std::future::pending().await,
    }
}
