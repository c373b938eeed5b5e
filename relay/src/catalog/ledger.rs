//! What became of tokens: which were made, for whom, and which open nothing any more. Must not know how a token is signed.
//!
//! `DIR/tokens-NNNN.jsonl`, each readable by its owner only: a first line with the format, then one fact a line, appended and
//! synced under the folder's lock, so that a command line and a relay that serves may both write. A last line that is cut
//! short was never acknowledged and goes with the next one. A full file is followed by a next one.

use super::workspaces::{Allowance, Decided, Openness};
use super::{CatalogError, io_error, lock_folder, private_options};
use comptoir_engine::id::WorkspaceId;
use comptoir_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::sync::watch;

/// A file that is this long is followed by a next one, in bytes.
const FILE_BYTES_MAX: u64 = 512 << 10;
/// The most files of one ledger: some 100,000 tokens.
pub(crate) const FILES_MAX: usize = 64;
const FORMAT: &str = "{\"comptoir_tokens\":1}";
const BEGIN: &str = "tokens-";
const END: &str = ".jsonl";

/// A token that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Its id.
    pub id: String,
    /// The workspace it opens.
    pub workspace: String,
    /// What it allows at most.
    pub role: String,
    /// Who it is for: `device:NAME` or `user:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What the operator called it.
    pub name: String,
    /// What it allows by collection; empty: what its role does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub collections: BTreeMap<String, String>,
    /// What it may take in a second.
    #[serde(default, skip_serializing_if = "Allowance::is_usual")]
    pub limits: Allowance,
    /// When it was made, RFC 3339.
    pub issued: String,
    /// When it ends, RFC 3339.
    pub expires: String,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A token was made.
    Issued(Issued),
    /// A token opens nothing any more.
    Revoked {
        /// Its id.
        id: String,
        /// Since when, RFC 3339.
        at: String,
    },
    /// Nor does any token of this workspace that was made by then.
    WorkspaceRevoked {
        /// The workspace.
        workspace: String,
        /// By when, RFC 3339.
        at: String,
    },
    /// A code was given out that a device may come with once.
    Offered {
        /// SHA-256 of the code, in hexadecimal digits.
        code: String,
        /// Until when, RFC 3339.
        until: String,
        /// How long its token will be good for, in seconds.
        valid_for_s: u64,
        /// The token it will get; its id and times are drawn then.
        token: Issued,
    },
    /// A device came with it.
    Redeemed {
        /// SHA-256 of the code.
        code: String,
    },
    /// A workspace's tokens open nothing for now.
    WorkspaceSuspended {
        /// The workspace.
        workspace: String,
        /// Since when, RFC 3339.
        at: String,
    },
    /// They open it again.
    WorkspaceResumed {
        /// The workspace.
        workspace: String,
        /// Since when, RFC 3339.
        at: String,
    },
    /// A workspace goes for good: its tokens and codes open nothing any more, and what it held is being deleted.
    WorkspaceRemoved {
        /// The workspace.
        workspace: String,
        /// Since when, RFC 3339.
        at: String,
    },
    /// What it held is deleted: new tokens begin a new workspace of that name.
    WorkspaceCleared {
        /// The workspace.
        workspace: String,
        /// When, RFC 3339.
        at: String,
    },
    /// What a workspace may take.
    WorkspaceLimited {
        /// The workspace.
        workspace: String,
        /// In the place of what was said of it before.
        allowance: Allowance,
    },
}

/// All facts, by what they are asked for.
#[derive(Default)]
struct Facts {
    issued: BTreeMap<String, Issued>,
    revoked: HashMap<String, String>,
    workspaces: HashMap<String, Timestamp>,
    /// Codes nobody has come with.
    offers: HashMap<String, Offer>,
    decided: Decided,
}

/// A code that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Until when.
    pub until: Timestamp,
    /// How long its token will be good for, in seconds.
    pub valid_for_s: u64,
    /// The token.
    pub token: Issued,
}

impl Facts {
    fn learn(&mut self, fact: Fact) -> Option<()> {
        match fact {
            Fact::Issued(issued) => _ = self.issued.insert(issued.id.clone(), issued),
            Fact::Revoked { id, at } => _ = self.revoked.insert(id, at),
            Fact::WorkspaceRevoked { workspace, at } => _ = self.workspaces.insert(workspace, Timestamp::parse(&at)?),
            Fact::Offered { code, until, valid_for_s, token } => {
                let until = Timestamp::parse(&until)?;
                self.offers.insert(code, Offer { until, valid_for_s, token });
            }
            Fact::Redeemed { code } => _ = self.offers.remove(&code),
            Fact::WorkspaceSuspended { workspace, at } => self.decided.suspend(workspace, at),
            Fact::WorkspaceResumed { workspace, .. } => self.decided.resume(&workspace),
            Fact::WorkspaceRemoved { workspace, at } => {
                self.offers.retain(|_, offer| offer.token.workspace != workspace);
                self.workspaces.insert(workspace.clone(), Timestamp::parse(&at)?);
                self.decided.remove(workspace, at);
            }
            Fact::WorkspaceCleared { workspace, .. } => self.decided.cleared(&workspace),
            Fact::WorkspaceLimited { workspace, allowance } => self.decided.limit(workspace, allowance),
        }
        Some(())
    }
}

/// How the files were when they were read last.
type Seen = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// The ledger in one folder.
pub struct Ledger {
    dir: PathBuf,
    read: Mutex<(Seen, Facts)>,
    changed: watch::Sender<u64>,
}

impl Ledger {
    /// Reads the folder's ledger; an empty one where there is none.
    pub(super) fn open(dir: &Path) -> Result<Self, CatalogError> {
        let ledger = Self { dir: dir.to_owned(), read: Mutex::default(), changed: watch::Sender::new(0) };
        ledger.refresh()?;
        Ok(ledger)
    }

    /// Counts up whenever the files turn out to have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Reads the files again where they have changed, as another process may have written them. Waits for the disk.
    pub fn refresh(&self) -> Result<(), CatalogError> {
        let mut read = self.held();
        let seen = self.look()?;
        if seen == read.0 {
            return Ok(());
        }
        let mut facts = Facts::default();
        for (path, ..) in &seen {
            read_file(path, &mut facts)?;
        }
        *read = (seen, facts);
        self.changed.send_modify(|changes| *changes += 1);
        Ok(())
    }

    /// Has whoever watches look again: a key was taken away.
    pub(super) fn touch(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Writes a fact down; it would survive a power cut when this returns. Waits for the disk.
    pub fn add(&self, fact: &Fact) -> Result<(), CatalogError> {
        let _lock = lock_folder(&self.dir)?;
        self.append(fact)
    }

    /// Takes a code out, if it is good at this time: only one caller ever gets its offer. Waits for the disk.
    pub fn redeem(&self, code: &str, now: Timestamp) -> Result<Option<Offer>, CatalogError> {
        let _lock = lock_folder(&self.dir)?;
        self.refresh()?;
        let offer = self.held().1.offers.get(code).filter(|offer| offer.until > now).cloned();
        if offer.is_some() {
            self.append(&Fact::Redeemed { code: code.to_owned() })?;
        }
        Ok(offer)
    }

    /// Whether this token was taken back by its id.
    pub fn is_taken_back(&self, id: &str) -> bool {
        self.held().1.revoked.contains_key(id)
    }

    /// Whether a token with this id, made then for this workspace, opens nothing any more.
    pub fn is_revoked(&self, id: &str, workspace: &WorkspaceId, issued: Timestamp) -> bool {
        let (_, facts) = &*self.held();
        facts.revoked.contains_key(id) || facts.workspaces.get(workspace.as_str()).is_some_and(|by| issued <= *by)
    }

    /// Whether a workspace's tokens open it.
    pub fn openness(&self, workspace: &WorkspaceId) -> Openness {
        self.held().1.decided.of(workspace.as_str()).0
    }

    /// What a workspace may take, where the operator said so.
    pub fn allowance(&self, workspace: &WorkspaceId) -> Allowance {
        self.held().1.decided.of(workspace.as_str()).1
    }

    /// Every workspace about which anything was decided.
    pub fn decided(&self) -> Vec<WorkspaceId> {
        self.held().1.decided.names().filter_map(|name| WorkspaceId::new(name).ok()).collect()
    }

    /// Every token that was made, of one workspace or of all, and since when it opens nothing.
    pub fn issued(&self, workspace: Option<&WorkspaceId>) -> Vec<(Issued, Option<String>)> {
        let (_, facts) = &*self.held();
        let wanted = |issued: &&Issued| workspace.is_none_or(|workspace| issued.workspace == workspace.as_str());
        let since = |issued: &Issued| {
            let by = facts.workspaces.get(&issued.workspace);
            let all = by.filter(|by| Timestamp::parse(&issued.issued).is_none_or(|issued| issued <= **by));
            facts.revoked.get(&issued.id).cloned().or_else(|| all.map(Timestamp::to_string))
        };
        facts.issued.values().filter(wanted).map(|issued| (issued.clone(), since(issued))).collect()
    }

    fn append(&self, fact: &Fact) -> Result<(), CatalogError> {
        let last = self.look()?.pop();
        let number = last.as_ref().and_then(|(path, ..)| number(path)).unwrap_or(0);
        let (path, is_new) = match last {
            Some((path, bytes, _)) if bytes < FILE_BYTES_MAX => (path, false),
            _ if number as usize + 1 > FILES_MAX => return Err(CatalogError::LedgerFull { path: self.dir.clone() }),
            _ => (self.dir.join(format!("{BEGIN}{:04}{END}", number + 1)), true),
        };
        let line = serde_json::to_string(fact).map_err(|error| io_error(&path, &error.into()))?;
        write_line(&self.dir, &path, is_new, &line).map_err(|error| io_error(&path, &error))?;
        self.refresh()
    }

    fn look(&self) -> Result<Seen, CatalogError> {
        let io = |error: io::Error| io_error(&self.dir, &error);
        let mut seen = Seen::new();
        for path in ledger_files(&self.dir).map_err(io)? {
            let meta = fs::metadata(&path).map_err(io)?;
            seen.push((path, meta.len(), meta.modified().ok()));
        }
        Ok(seen)
    }

    fn held(&self) -> MutexGuard<'_, (Seen, Facts)> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files in the folder, in their order.
pub(super) fn ledger_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = match fs::read_dir(dir) {
        // A folder that was taken away has none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?,
    };
    let mut files: Vec<_> = paths.into_iter().filter(|path| number(path).is_some()).collect();
    files.sort();
    files.truncate(FILES_MAX);
    Ok(files)
}

/// Whether a file of this name is part of a ledger.
pub(super) fn is_ledger_name(name: &str) -> bool {
    number(Path::new(name)).is_some() && Path::new(name).components().count() == 1
}

fn number(path: &Path) -> Option<u32> {
    let digits = path.file_name()?.to_str()?.strip_prefix(BEGIN)?.strip_suffix(END)?;
    if digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_digit()) { digits.parse().ok() } else { None }
}

fn read_file(path: &Path, facts: &mut Facts) -> Result<(), CatalogError> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| io_error(path, &error))?;
    // Its last line may have gone over the limit.
    let read = file.take(2 * FILE_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| io_error(path, &error))?;
    // What has no end was never acknowledged.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for (index, line) in whole.lines().enumerate() {
        let known = match index {
            0 => (line == FORMAT).then_some(()),
            _ => serde_json::from_str(line).ok().and_then(|fact| facts.learn(fact)),
        };
        known.ok_or_else(|| CatalogError::NoFact { path: path.to_owned(), line: index + 1 })?;
    }
    Ok(())
}

fn write_line(dir: &Path, path: &Path, is_new: bool, line: &str) -> io::Result<()> {
    let mut file = private_options().read(true).create(true).truncate(false).open(path)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    file.set_len(whole as u64)?;
    let begin = if whole == 0 { format!("{FORMAT}\n") } else { String::new() };
    std::io::Seek::seek(&mut file, io::SeekFrom::Start(whole as u64))?;
    file.write_all(format!("{begin}{line}\n").as_bytes())?;
    file.sync_all()?;
    if is_new { File::open(dir)?.sync_all() } else { Ok(()) }
}
