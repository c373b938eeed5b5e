//! A follower's attempts: a delivery or a dead letter is sent, and what the endpoint says decides what follows. Must not know the
//! feed.

use super::super::attempts::{Attempt, Outcome};
use super::super::kept::{DeadLetter, Failing, Kept, Letter, Reason};
use super::super::message::Pending;
use super::super::send::{Answer, Message, Unsent};
use super::{FAR, Follower};
use hyper::body::Bytes;
use std::time::Duration;
use tokio::time::Instant;

/// An endpoint that takes longer, or fails, makes its next attempts among its like, so that the quick ones do not wait.
const QUICK: Duration = Duration::from_secs(1);

impl Follower {
    /// One attempt to make the delivery that waits.
    pub(super) async fn deliver(&mut self, kept: &Kept) {
        let Some(pending) = self.pending.take() else { return };
        let before = kept.failing.as_ref().filter(|failing| failing.id == pending.id);
        let attempt = before.map_or(1, |failing| failing.attempts + 1);
        let Some((sent, took)) = self.send(kept, &pending.id, pending.body.clone()).await else {
            self.pending = Some(pending);
            return;
        };
        let is_last = attempt as usize > self.post.settings.retry_ms.len();
        let outcome = match &sent {
            Ok(answer) if answer.is_success() => Outcome::Delivered,
            Ok(answer) if answer.is_gone() => Outcome::Gone,
            _ if is_last => Outcome::Dead,
            _ => Outcome::Failed,
        };
        let about = about(&pending, attempt, &sent, self.post.clock.now().to_string());
        self.note(&about, outcome, &sent, took).await;
        match outcome {
            Outcome::Delivered => self.go_on(&pending).await,
            Outcome::Gone => self.suspend(Reason::Gone).await,
            Outcome::Dead if self.hook.letters().len() >= self.post.settings.dead_letters_max => {
                self.suspend(Reason::DeadLettersFull).await;
            }
            Outcome::Dead => {
                let body = String::from_utf8_lossy(&pending.body).into_owned();
                let letter = Letter::new(about, body);
                self.persist(|hook| {
                    let letter = letter.clone();
                    async move { hook.bury(letter).await }
                })
                .await;
                self.go_on(&pending).await;
            }
            Outcome::Failed => {
                self.let_go();
                let wait_ms = self.post.settings.retry_ms.get(attempt as usize - 1).copied().unwrap_or_default();
                let asked = sent.ok().and_then(|answer| answer.retry_after).unwrap_or_default();
                let wait = jittered(Duration::from_millis(wait_ms)).max(asked).min(FAR);
                let due_unix_ms = self.post.clock.now().unix_ms.saturating_add(wait.as_millis() as i64);
                let (id, changes) = (pending.id.clone(), pending.changes);
                let failing = Failing { id, changes, attempts: attempt, due_unix_ms };
                // Kept in memory as it is: the same message has the same content.
                self.pending = Some(pending);
                self.save(move |kept| kept.failing = Some(failing.clone())).await;
            }
        }
    }

    /// The delivery is made or given up.
    async fn go_on(&mut self, pending: &Pending) {
        let behind = pending.behind;
        self.save(move |kept| (kept.cursor, kept.failing) = (behind.text(), None)).await;
    }

    /// Tries a dead letter again, once.
    pub(super) async fn resend(&mut self, kept: &Kept, letter: DeadLetter) {
        let whole = match self.hook.letter(&letter.id).await {
            Ok(whole) => whole,
            Err(error) => {
                tracing::error!(webhook = kept.id, letter = letter.id, %error, "a dead letter cannot be read");
                return self.hook.strike(&letter.id);
            }
        };
        let Some((sent, took)) = self.send(kept, &letter.id, whole.body.into()).await else { return };
        let attempts = letter.attempts + 1;
        let (status, error) = told(&sent);
        let about = DeadLetter { attempts, status, error, resending: false, ..letter };
        let outcome = match &sent {
            Ok(answer) if answer.is_success() => Outcome::Delivered,
            Ok(answer) if answer.is_gone() => Outcome::Gone,
            _ => Outcome::Failed,
        };
        self.note(&about, outcome, &sent, took).await;
        let id = about.id.clone();
        match outcome {
            Outcome::Delivered => {
                self.persist(|hook| {
                    let id = id.clone();
                    async move { hook.discard(&id).await.map(drop) }
                })
                .await;
            }
            outcome => {
                self.persist(|hook| {
                    let (id, about) = (id.clone(), about.clone());
                    async move { hook.edit_letter(&id, move |letter| *letter = about).await }
                })
                .await;
                if outcome == Outcome::Gone {
                    self.suspend(Reason::Gone).await;
                }
            }
        }
    }

    /// Sends once there is a turn for it. `None` where its token was lost meanwhile.
    async fn send(&mut self, kept: &Kept, id: &str, body: Bytes) -> Option<(Result<Answer, Unsent>, Duration)> {
        let lane = if self.is_slow { &self.post.slow } else { &self.post.quick };
        let _turn = lane.acquire().await.ok()?;
        if self.post.auth.take_up(&kept.grant).is_err() {
            return None;
        }
        let (begun, message) = (Instant::now(), Message { id, url: &kept.url, secret: &kept.secret, body });
        let sent = self.post.sender.send(message, self.post.clock.now()).await;
        let took = begun.elapsed();
        self.is_slow = took > QUICK || !sent.as_ref().is_ok_and(Answer::is_success);
        Some((sent, took))
    }

    async fn note(&self, about: &DeadLetter, outcome: Outcome, sent: &Result<Answer, Unsent>, took: Duration) {
        self.post.metrics.webhook_attempted(outcome.name());
        let attempt = Attempt {
            at: self.post.clock.now().to_string(),
            id: about.id.clone(),
            attempt: about.attempts,
            outcome,
            status: about.status,
            error: about.error.clone(),
            cause: sent.as_ref().err().map(|unsent| unsent.cause.chars().take(500).collect()),
            took_ms: took.as_millis() as u64,
            changes: about.changes,
            after: about.after.clone(),
        };
        if let Err(error) = self.hook.note(attempt).await {
            tracing::warn!(%error, "a webhook's delivery log cannot be written");
        }
    }
}

fn told(sent: &Result<Answer, Unsent>) -> (Option<u16>, Option<String>) {
    match sent {
        Ok(answer) => (Some(answer.status), None),
        Err(unsent) => (None, Some(unsent.code.to_owned())),
    }
}

fn about(pending: &Pending, attempts: u32, sent: &Result<Answer, Unsent>, since: String) -> DeadLetter {
    let (status, error) = told(sent);
    let (id, after) = (pending.id.clone(), pending.after.text());
    DeadLetter { id, since, attempts, status, error, changes: pending.changes, after, resending: false }
}

/// Up to a fifth longer: endpoints that fell together are not asked together.
fn jittered(wait: Duration) -> Duration {
    let chance = getrandom::u32().unwrap_or(0);
    wait + wait.mul_f64(f64::from(chance) / f64::from(u32::MAX) / 5.0)
}
