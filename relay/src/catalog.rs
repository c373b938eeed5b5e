//! The relay's signing keys, one file a key: `DIR/<key id>.paserk`, PASERK text, readable by its owner only. Must not
//! know what is signed.
//!
//! The key id is the PASERK id of the public key (`k4.pid.`). Every key in the folder is accepted, the newest signs.
//! A key is written under another name, synced and renamed, so a reader sees a whole key or none; the first key is
//! made under a lock, so two processes that start together use the same one.

use crate::text::Told;
use pasetors::keys::{AsymmetricKeyPair, AsymmetricPublicKey, AsymmetricSecretKey, Generate};
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::version4::V4;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

const EXTENSION: &str = "paserk";
/// A PASERK of a secret key has 96 characters.
const KEY_FILE_BYTES_MAX: u64 = 256;
/// The most keys in a folder.
pub(crate) const KEYS_MAX: usize = 64;

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
    /// No random numbers for a new key.
    #[error("the system gave no random numbers for a signing key: try again")]
    NoRandom,
}

impl Told for CatalogError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "keys_failed",
            Self::NotAKey { .. } => "not_a_key",
            Self::NoRandom => "no_random",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Io { path, cause } => vec![("path", path.display().to_string()), ("cause", cause.clone())],
            Self::NotAKey { path } => vec![("path", path.display().to_string())],
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

/// The keys in a folder, read once and looked up again when an unknown one is named.
pub struct Catalog {
    dir: PathBuf,
    newest: Arc<SigningKey>,
    known: RwLock<HashMap<String, Arc<SigningKey>>>,
}

impl Catalog {
    /// Opens the folder; makes it and a first key where there is none. Safe beside other processes.
    pub fn open(dir: &Path) -> Result<Self, CatalogError> {
        let io = |error: io::Error| io_error(dir, &error);
        make_private_folder(dir).map_err(io)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(io)?;
        lock.lock().map_err(io)?;
        let newest = match newest_file(dir).map_err(io)? {
            Some(path) => read_key(&path)?,
            None => make_key(dir)?,
        };
        let newest = Arc::new(newest);
        let known = RwLock::new(HashMap::from([(newest.id.clone(), newest.clone())]));
        Ok(Self { dir: dir.to_owned(), newest, known })
    }

    /// The key that signs.
    pub fn newest(&self) -> &SigningKey {
        &self.newest
    }

    /// Every key's file, by name and content, the newest last: what a restored relay needs for the tokens that are out to stay good.
    pub fn files(&self) -> Result<Vec<(String, String)>, CatalogError> {
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

    /// Writes keys' files, as [`Catalog::files`] gave them, into a new catalog's folder.
    pub fn import(dir: &Path, files: &[(String, String)]) -> Result<(), CatalogError> {
        make_private_folder(dir).map_err(|error| io_error(dir, &error))?;
        for (name, text) in files {
            let path = dir.join(name);
            // A name out of a backup leads nowhere else.
            let id = name.strip_suffix(".paserk").filter(|id| is_key_id(id));
            id.ok_or_else(|| CatalogError::NotAKey { path: path.clone() })?;
            write_private(dir, &path, text.trim()).map_err(|error| io_error(dir, &error))?;
            read_key(&path)?;
        }
        Ok(())
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
    write_private(dir, &key_path(dir, &key.id), &text).map_err(|error| io_error(dir, &error))?;
    Ok(key)
}

pub(crate) fn write_private(dir: &Path, path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
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
