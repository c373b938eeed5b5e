//! One webhook in memory and on the disk: whoever follows the feed for it and whoever asks about it share it. Must not know how
//! the feed is read, or how something is sent.

use super::WebhookError;
use super::attempts::{Attempt, Attempts};
use super::kept::{DeadLetter, Kept, Letter, Reason, read_kept, read_letter};
use crate::catalog::{make_private_folder, write_private};
use crate::feed::FeedPlace;
use crate::room::Room;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

const DEFINITION: &str = "webhook.json";
const LETTERS: &str = "dead";

/// What its follower is to notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wake {
    /// It is no more.
    pub(super) is_removed: bool,
    /// Counts up when it was put to another place: what is under way is dropped.
    pub(super) restarts: u64,
    /// Counts up when there is something else to see.
    pub(super) looks: u64,
}

/// One webhook.
pub(super) struct Hook {
    folder: PathBuf,
    kept: Mutex<Kept>,
    letters: Mutex<Vec<DeadLetter>>,
    /// The delivery log. Held while any file of the webhook is written: never by who must not wait.
    disk: Mutex<Attempts>,
    wake: watch::Sender<Wake>,
    room: Mutex<Weak<Room>>,
    /// How far it has come in the log, what it is not told included.
    reached: AtomicU64,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hook {
    fn new(folder: &Path, kept: Kept, letters: Vec<DeadLetter>, lines_max: usize) -> Arc<Self> {
        let reached = AtomicU64::new(kept.place().after.0);
        let wake = Wake { restarts: kept.restarts, ..Wake::default() };
        Arc::new(Self {
            folder: folder.to_owned(),
            kept: Mutex::new(kept),
            letters: Mutex::new(letters),
            disk: Mutex::new(Attempts::open(folder, lines_max)),
            wake: watch::Sender::new(wake),
            room: Mutex::default(),
            reached,
        })
    }

    /// Writes a new one down. Waits for the disk.
    pub(super) fn make(folder: &Path, kept: Kept, lines_max: usize) -> io::Result<Arc<Self>> {
        make_private_folder(&folder.join(LETTERS))?;
        write_private(folder, &folder.join(DEFINITION), &serde_json::to_string(&kept)?)?;
        Ok(Self::new(folder, kept, Vec::new(), lines_max))
    }

    /// Reads one. `None` where its making or its removal was cut short; what is left of it is swept. Waits for the disk.
    pub(super) fn open(folder: &Path, lines_max: usize) -> io::Result<Option<Arc<Self>>> {
        let path = folder.join(DEFINITION);
        if !path.exists() {
            return fs::remove_dir_all(folder).map(|()| None);
        }
        let kept = read_kept(&path)?;
        let mut letters = Vec::new();
        for entry in fs::read_dir(folder.join(LETTERS))? {
            let path = entry?.path();
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            match read_letter(&path) {
                Ok(letter) => letters.push(letter.about),
                Err(error) => tracing::error!(path = %path.display(), %error, "a dead letter cannot be read"),
            }
        }
        letters.sort_by(|a: &DeadLetter, b| (&a.since, &a.id).cmp(&(&b.since, &b.id)));
        Ok(Some(Self::new(folder, kept, letters, lines_max)))
    }

    /// What is written down.
    pub(super) fn kept(&self) -> Kept {
        held(&self.kept).clone()
    }

    /// Its dead letters, the oldest first.
    pub(super) fn letters(&self) -> Vec<DeadLetter> {
        held(&self.letters).clone()
    }

    /// Woken by changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<Wake> {
        self.wake.subscribe()
    }

    /// Changes what is written down, if `change` says so; durable when this returns.
    async fn write(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Kept, Wake) -> bool + Send + 'static,
    ) -> io::Result<bool> {
        self.blocking(move |hook| hook.write_now(change)).await
    }

    fn write_now(&self, change: impl FnOnce(&mut Kept, Wake) -> bool) -> io::Result<bool> {
        let _turn = held(&self.disk);
        let (mut next, wake) = (self.kept(), *self.wake.borrow());
        if wake.is_removed || !change(&mut next, wake) {
            return Ok(false);
        }
        write_private(&self.folder, &self.folder.join(DEFINITION), &serde_json::to_string(&next)?)?;
        self.reached.store(next.place().after.0, Ordering::Relaxed);
        let restarts = next.restarts;
        *held(&self.kept) = next;
        if restarts != wake.restarts {
            // Still in this turn: what its follower did before comes too late now.
            self.wake.send_modify(|wake| wake.restarts = restarts);
        }
        Ok(true)
    }

    /// As its follower changes it, who began when there had been so many restarts: nothing since then is undone.
    pub(super) async fn follow_up(
        self: &Arc<Self>,
        restarts: u64,
        change: impl FnOnce(&mut Kept) + Send + 'static,
    ) -> io::Result<()> {
        let changed = self.write(move |kept, wake| {
            let is_current = wake.restarts == restarts;
            if is_current {
                change(kept);
            }
            is_current
        });
        changed.await.map(drop)
    }

    /// Puts it to another place, or leaves it at its own, and has it send again.
    pub(super) async fn restart(self: &Arc<Self>, place: Option<FeedPlace>) -> io::Result<()> {
        let changed = self.write(move |kept, wake| {
            if let Some(place) = place {
                kept.cursor = place.text();
            }
            (kept.suspended, kept.failing, kept.restarts) = (None, None, wake.restarts + 1);
            true
        });
        changed.await.map(drop)
    }

    /// Gives a message up: its letter is written before the place moves behind it.
    pub(super) async fn bury(self: &Arc<Self>, letter: Letter) -> io::Result<()> {
        self.blocking(move |hook| {
            let _turn = held(&hook.disk);
            write_private(
                &hook.letters_folder(),
                &hook.letter_path(&letter.about.id),
                &serde_json::to_string(&letter)?,
            )?;
            let mut letters = held(&hook.letters);
            letters.retain(|other| other.id != letter.about.id);
            letters.push(letter.about);
            Ok(())
        })
        .await
    }

    /// A dead letter with its content.
    pub(super) async fn letter(self: &Arc<Self>, id: &str) -> io::Result<Letter> {
        let path = self.letter_path(id);
        self.blocking(move |_| read_letter(&path)).await
    }

    /// Lists a dead letter no more, whose file cannot be read and stays.
    pub(super) fn strike(&self, id: &str) {
        held(&self.letters).retain(|letter| letter.id != id);
    }

    /// Takes a dead letter away. Whether there was one.
    pub(super) async fn discard(self: &Arc<Self>, id: &str) -> io::Result<bool> {
        let id = id.to_owned();
        let was_there = self.blocking(move |hook| {
            let _turn = held(&hook.disk);
            if !held(&hook.letters).iter().any(|letter| letter.id == id) {
                return Ok(false);
            }
            fs::remove_file(hook.letter_path(&id))?;
            File::open(hook.letters_folder())?.sync_all()?;
            held(&hook.letters).retain(|letter| letter.id != id);
            Ok(true)
        });
        let was_there = was_there.await?;
        if was_there && held(&self.kept).suspended == Some(Reason::DeadLettersFull) {
            self.write(|kept, _| std::mem::take(&mut kept.suspended).is_some()).await?;
            self.look();
        }
        Ok(was_there)
    }

    /// Has dead letters sent again: these, or all. How many.
    pub(super) async fn resend(self: &Arc<Self>, ids: Option<Vec<String>>) -> Result<usize, WebhookError> {
        let known = self.letters();
        let wanted = match ids {
            None => known.into_iter().map(|letter| letter.id).collect(),
            Some(ids) => {
                let missing = ids.iter().find(|id| !known.iter().any(|letter| letter.id == **id));
                match missing {
                    Some(id) => return Err(WebhookError::NoLetter { id: id.clone() }),
                    None => ids,
                }
            }
        };
        let count = wanted.len();
        for id in wanted {
            self.edit_letter(&id, |letter| letter.resending = true).await?;
        }
        self.look();
        Ok(count)
    }

    /// Changes what is known of a dead letter.
    pub(super) async fn edit_letter(
        self: &Arc<Self>,
        id: &str,
        change: impl FnOnce(&mut DeadLetter) + Send + 'static,
    ) -> io::Result<()> {
        let path = self.letter_path(id);
        self.blocking(move |hook| {
            let _turn = held(&hook.disk);
            let mut letter = match read_letter(&path) {
                // It was delivered or taken away meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                letter => letter?,
            };
            change(&mut letter.about);
            write_private(&hook.letters_folder(), &path, &serde_json::to_string(&letter)?)?;
            let mut letters = held(&hook.letters);
            if let Some(known) = letters.iter_mut().find(|known| known.id == letter.about.id) {
                *known = letter.about;
            }
            Ok(())
        })
        .await
    }

    /// Has its follower look at it again.
    pub(super) fn look(&self) {
        self.wake.send_modify(|wake| wake.looks += 1);
    }

    /// Takes it away with all its files.
    pub(super) async fn remove(self: &Arc<Self>) -> io::Result<()> {
        self.blocking(|hook| {
            let _turn = held(&hook.disk);
            // First what makes it one: the rest is swept where this is cut short.
            fs::remove_file(hook.folder.join(DEFINITION))?;
            File::open(&hook.folder)?.sync_all()?;
            hook.wake.send_modify(|wake| wake.is_removed = true);
            if let Err(error) = fs::remove_dir_all(&hook.folder) {
                tracing::warn!(folder = %hook.folder.display(), %error, "a removed webhook's files stay until the next start");
            }
            Ok(())
        })
        .await
    }

    /// Writes a line of the delivery log.
    pub(super) async fn note(self: &Arc<Self>, attempt: Attempt) -> io::Result<()> {
        self.blocking(move |hook| {
            let mut log = held(&hook.disk);
            let is_removed = hook.wake.borrow().is_removed;
            if is_removed { Ok(()) } else { log.add(&attempt) }
        })
        .await
    }

    /// The newest lines of the delivery log, the newest first.
    pub(super) async fn attempts(self: &Arc<Self>, limit: usize) -> io::Result<Vec<Attempt>> {
        self.blocking(move |hook| held(&hook.disk).newest(limit)).await
    }

    /// It follows the feed in this room.
    pub(super) fn sits_in(&self, room: &Arc<Room>) {
        *held(&self.room) = Arc::downgrade(room);
    }

    /// It has come so far.
    pub(super) fn reached(&self, place: FeedPlace) {
        self.reached.store(place.after.0, Ordering::Relaxed);
    }

    /// Log positions behind its place; `None` while it does not follow the feed.
    pub(super) fn lag_entries(&self) -> Option<u64> {
        let room = held(&self.room).upgrade()?;
        Some(room.durable().tail.0.saturating_sub(self.reached.load(Ordering::Relaxed)))
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let hook = self.clone();
        spawn_blocking(move || work(&hook)).await.map_err(io::Error::other)?
    }

    fn letters_folder(&self) -> PathBuf {
        self.folder.join(LETTERS)
    }

    fn letter_path(&self, id: &str) -> PathBuf {
        self.letters_folder().join(format!("{id}.json"))
    }
}
