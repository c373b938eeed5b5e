//! The relay's signing keys, one file a key: `DIR/<key id>.paserk`, PASERK text, readable by its owner only. Must not
//! know what is signed.
//!
//! The key id is the PASERK id of the public key (`k4.pid.`). Every key in the folder is accepted, the newest signs.
//! A key is written under another name, synced and renamed, so a reader sees a whole key or none; the first key is
//! made under a lock, so two processes that start together use the same one. Beside the keys stands the [`Ledger`] of what
//! was signed with them.

mod ledger;
mod workspaces;

use crate::text::Told;
use pasetors::keys::{AsymmetricKeyPair, AsymmetricPublicKey, AsymmetricSecretKey, Generate};
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::version4::V4;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

pub use ledger::{Fact, Issued, Ledger, Offer};
pub use workspaces::{Allowance, Openness};

const EXTENSION: &str = "paserk";
/// A PASERK of a secret key has 96 characters.
const KEY_FILE_BYTES_MAX: u64 = 256;
/// The most keys in a folder.
const KEYS_MAX: usize = 64;
/// The most files that a backup has of one folder.
pub(crate) const FILES_MAX: usize = KEYS_MAX + ledger::FILES_MAX;

/// Why the keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The operating system refused.
    #[error(
        "the signing keys in {path} cannot be used ({cause}): check the folder, its permissions and the free space"
    )]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// The operating system's words.
        cause: String,
    },
    /// A file that is not the key its name says.
    #[error("the file {path} is not a signing key of this relay: move it out of the folder")]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// There is no such key.
    #[error("there is no signing key {id}: `comptoir-relay key list` names them")]
    NoSuchKey {
        /// What was given.
        id: String,
    },
    /// The one that signs is needed.
    #[error("the key {id} is the one that signs: make another one first with `comptoir-relay key rotate`")]
    KeySigns {
        /// The key.
        id: String,
    },
    /// As many as there may be.
    #[error("there are {KEYS_MAX} signing keys: retire one with `comptoir-relay key retire` first")]
    TooManyKeys,
    /// A line of the ledger that says nothing this release knows.
    #[error(
        "line {line} of {path} says nothing about tokens that this release knows: upgrade the relay, or restore the file from a backup"
    )]
    NoFact {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// No more fits in.
    #[error("the ledger of tokens in {path} is full: start a new relay for new workspaces")]
    LedgerFull {
        /// The folder.
        path: PathBuf,
    },
    /// No random numbers for a new key.
    #[error("the system gave no random numbers for a signing key: try again")]
    NoRandom,
}

impl Told for CatalogError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "keys_failed",
            Self::NotAKey { .. } => "not_a_key",
            Self::NoSuchKey { .. } => "no_such_key",
            Self::KeySigns { .. } => "key_signs",
            Self::TooManyKeys => "too_many_keys",
            Self::NoFact { .. } => "ledger_no_fact",
            Self::LedgerFull { .. } => "ledger_full",
            Self::NoRandom => "no_random",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Io { path, cause } => vec![("path", path.display().to_string()), ("cause", cause.clone())],
            Self::NotAKey { path } | Self::LedgerFull { path } => vec![("path", path.display().to_string())],
            Self::NoFact { path, line } => vec![("path", path.display().to_string()), ("line", line.to_string())],
            Self::NoSuchKey { id } | Self::KeySigns { id } => vec![("id", id.clone())],
            Self::TooManyKeys => vec![("keys_max", KEYS_MAX.to_string())],
            Self::NoRandom => Vec::new(),
        }
    }
}

/// One key.
pub struct SigningKey {
    /// Its name, as tokens carry it.
    pub id: String,
    /// Signs.
    pub secret: AsymmetricSecretKey<V4>,
    /// Verifies.
    pub public: AsymmetricPublicKey<V4>,
}

/// The keys in a folder, and its ledger. Read once; looked up again when an unknown key is named, and by [`Catalog::refresh`].
pub struct Catalog {
    dir: PathBuf,
    newest: RwLock<Arc<SigningKey>>,
    known: RwLock<HashMap<String, Arc<SigningKey>>>,
    ledger: Ledger,
}

impl Catalog {
    /// Opens the folder; makes it and a first key where there is none. Safe beside other processes.
    pub fn open(dir: &Path) -> Result<Self, CatalogError> {
        let io = |error: io::Error| io_error(dir, &error);
        make_private_folder(dir).map_err(io)?;
        let _lock = lock_folder(dir)?;
        let newest = match newest_file(dir).map_err(io)? {
            Some(path) => read_key(&path)?,
            None => make_key(dir)?,
        };
        let newest = Arc::new(newest);
        let known = RwLock::new(HashMap::from([(newest.id.clone(), newest.clone())]));
        Ok(Self { dir: dir.to_owned(), newest: RwLock::new(newest), known, ledger: Ledger::open(dir)? })
    }

    /// The key that signs.
    pub fn newest(&self) -> Arc<SigningKey> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What became of the tokens.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Every key's id, the newest last.
    pub fn ids(&self) -> Result<Vec<String>, CatalogError> {
        let ends = |name: &String| name.strip_suffix(".paserk").map(str::to_owned);
        Ok(self.key_texts()?.iter().filter_map(|(name, _)| ends(name)).collect())
    }

    /// Makes a key that signs from now on. Tokens of the others stay good.
    pub fn rotate(&self) -> Result<String, CatalogError> {
        let lock = lock_folder(&self.dir)?;
        if self.ids()?.len() >= KEYS_MAX {
            return Err(CatalogError::TooManyKeys);
        }
        let id = make_key(&self.dir)?.id;
        drop(lock);
        self.refresh()?;
        Ok(id)
    }

    /// Takes a key away: no token that was signed with it opens anything any more.
    pub fn retire(&self, id: &str) -> Result<(), CatalogError> {
        let lock = lock_folder(&self.dir)?;
        let ids = self.ids()?;
        if !ids.iter().any(|known| known == id) {
            return Err(CatalogError::NoSuchKey { id: id.to_owned() });
        }
        if ids.last().is_some_and(|newest| newest == id) {
            return Err(CatalogError::KeySigns { id: id.to_owned() });
        }
        let removed = fs::remove_file(key_path(&self.dir, id)).and_then(|()| File::open(&self.dir)?.sync_all());
        removed.map_err(|error| io_error(&self.dir, &error))?;
        drop(lock);
        self.refresh()
    }

    /// Learns what other processes changed: the newest key, keys that are gone, and the ledger. Waits for the disk.
    pub fn refresh(&self) -> Result<(), CatalogError> {
        let newest = newest_file(&self.dir).map_err(|error| io_error(&self.dir, &error))?;
        let newest = newest.filter(|path| *path != key_path(&self.dir, &self.newest().id));
        if let Some(key) = newest.map(|path| read_key(&path)).transpose()? {
            *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.len();
        known.retain(|id, _| key_path(&self.dir, id).exists());
        let gone = known.len() < before;
        drop(known);
        self.ledger.refresh()?;
        if gone {
            self.ledger.touch();
        }
        Ok(())
    }

    /// Every file that a restored relay needs for the tokens that are out to stay good, and those that were revoked to stay so:
    /// each key's, the newest last, and the ledger's.
    pub fn files(&self) -> Result<Vec<(String, String)>, CatalogError> {
        let mut files = self.key_texts()?;
        for path in ledger::ledger_files(&self.dir).map_err(|error| io_error(&self.dir, &error))? {
            let text = fs::read_to_string(&path).map_err(|error| io_error(&path, &error))?;
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            // A line that is being written is not part of it.
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            files.push((name, text[..whole].to_owned()));
        }
        Ok(files)
    }

    /// Every key's file, by name and content, the newest last.
    fn key_texts(&self) -> Result<Vec<(String, String)>, CatalogError> {
        let io = |error: io::Error| io_error(&self.dir, &error);
        let mut files = Vec::new();
        for path in key_files(&self.dir).map_err(io)? {
            // A file that is no key signs nothing, and a folder that holds one could not be made of it.
            if read_key(&path).is_err() {
                tracing::warn!(path = %path.display(), "this file is no signing key and is left out");
                continue;
            }
            let (text, modified) =
                (fs::read_to_string(&path).map_err(io)?, fs::metadata(&path).and_then(|of| of.modified()));
            let name = path.file_name().and_then(|name| name.to_str());
            files.extend(name.map(|name| (modified.ok(), name.to_owned(), text)));
        }
        files.sort();
        Ok(files.into_iter().map(|(_, name, text)| (name, text)).collect())
    }

    /// Writes files, as [`Catalog::files`] gave them, into a new catalog's folder.
    pub fn import(dir: &Path, files: &[(String, String)]) -> Result<(), CatalogError> {
        make_private_folder(dir).map_err(|error| io_error(dir, &error))?;
        for (name, text) in files {
            let path = dir.join(name);
            // A name out of a backup leads nowhere else.
            if ledger::is_ledger_name(name) {
                write_private(dir, &path, text.trim_end()).map_err(|error| io_error(dir, &error))?;
                continue;
            }
            let id = name.strip_suffix(".paserk").filter(|id| is_key_id(id));
            id.ok_or_else(|| CatalogError::NotAKey { path: path.clone() })?;
            let newest = newest_file(dir).and_then(|newest| newest.map(|newest| modified(&newest)).transpose());
            write_private(dir, &path, text.trim()).map_err(|error| io_error(dir, &error))?;
            newest.and_then(|newest| make_newest(&path, newest)).map_err(|error| io_error(dir, &error))?;
            read_key(&path)?;
        }
        Ledger::open(dir).map(drop)
    }

    /// The key with this id, also when it was added after the catalog was opened; `None` when there is none such.
    pub fn find(&self, id: &str) -> Option<Arc<SigningKey>> {
        if let Some(key) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Some(key.clone());
        }
        // Only a well-formed id becomes part of a path.
        let key = is_key_id(id).then(|| read_key(&key_path(&self.dir, id)).ok()).flatten().map(Arc::new)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < KEYS_MAX {
            known.insert(id.to_owned(), key.clone());
        }
        Some(key)
    }
}

/// Until it is dropped nobody else makes keys or writes into the ledger.
fn lock_folder(dir: &Path) -> Result<File, CatalogError> {
    let file = private_options().create(true).truncate(false).open(dir.join("lock"));
    let locked = file.and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| io_error(dir, &error))
}

/// To write a file that only its owner reads.
fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn io_error(path: &Path, error: &io::Error) -> CatalogError {
    CatalogError::Io { path: path.to_owned(), cause: error.to_string() }
}

fn key_path(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}.{EXTENSION}"))
}

fn is_key_id(id: &str) -> bool {
    id.starts_with("k4.pid.") && Id::try_from(id).is_ok() && !id.contains(['/', '\\'])
}

fn key_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(dir)?.take(KEYS_MAX * 4).map(|entry| Ok(entry?.path()));
    paths.filter(|path| !matches!(path, Ok(path) if path.extension().is_none_or(|end| end != EXTENSION))).collect()
}

fn newest_file(dir: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    for path in key_files(dir)? {
        newest = newest.max(Some((fs::metadata(&path)?.modified()?, path)));
    }
    Ok(newest.map(|(_, path)| path))
}

fn modified(path: &Path) -> io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

/// Of two keys that were written in one tick of the file system's clock the later one is to be the newest too.
fn make_newest(path: &Path, before: Option<SystemTime>) -> io::Result<()> {
    match before {
        Some(before) if modified(path)? <= before => {
            OpenOptions::new().write(true).open(path)?.set_modified(before + Duration::from_millis(10))
        }
        _ => Ok(()),
    }
}

fn read_key(path: &Path) -> Result<SigningKey, CatalogError> {
    let not_a_key = || CatalogError::NotAKey { path: path.to_owned() };
    if fs::metadata(path).map_err(|error| io_error(path, &error))?.len() > KEY_FILE_BYTES_MAX {
        return Err(not_a_key());
    }
    let text = fs::read_to_string(path).map_err(|error| io_error(path, &error))?;
    let secret = AsymmetricSecretKey::<V4>::try_from(text.trim()).map_err(|_| not_a_key())?;
    let key = signing_key(secret).ok_or_else(not_a_key)?;
    match path.file_stem().is_some_and(|stem| stem == key.id.as_str()) {
        true => Ok(key),
        false => Err(not_a_key()),
    }
}

fn signing_key(secret: AsymmetricSecretKey<V4>) -> Option<SigningKey> {
    let public = AsymmetricPublicKey::<V4>::try_from(&secret).ok()?;
    let mut id = String::new();
    Id::from(&public).fmt(&mut id).ok()?;
    Some(SigningKey { id, secret, public })
}

fn make_key(dir: &Path) -> Result<SigningKey, CatalogError> {
    let pair = AsymmetricKeyPair::<V4>::generate().map_err(|_| CatalogError::NoRandom)?;
    let key = signing_key(pair.secret).ok_or(CatalogError::NoRandom)?;
    let mut text = String::new();
    key.secret.fmt(&mut text).map_err(|_| CatalogError::NoRandom)?;
    let path = key_path(dir, &key.id);
    let made = newest_file(dir).and_then(|newest| {
        let newest = newest.map(|newest| modified(&newest)).transpose()?;
        write_private(dir, &path, &text)?;
        make_newest(&path, newest)
    });
    made.map_err(|error| io_error(dir, &error))?;
    Ok(key)
}

pub(crate) fn write_private(dir: &Path, path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = private_options().create(true).truncate(true).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(dir)?.sync_all()
}

/// Makes `dir` and the folders above it; each new one is synced into the one above.
pub(crate) fn make_private_folder(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_private_folder(above)?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !dir.is_dir() => Err(error),
        _ => File::open(above)?.sync_all(),
    }
}
