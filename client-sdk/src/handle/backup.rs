//! The store as one file, a store out of that file, and both looked through. Must not know what is in them.

use super::Comptoir;
use crate::error::Error;
use crate::machine::{Computer, Machine as _};
use comptoir_engine::archive::Contents;
use comptoir_engine::disk::{self, CACHE_BYTES};
use comptoir_engine::store::{Checked, restore};
use comptoir_engine::{Engine, StoreError};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind};
use std::path::{Path, PathBuf};
use tokio::task::spawn_blocking;

impl Comptoir {
    /// Writes all of the store, what waits for the relay too, into one file, which appears as a whole and takes the place of an
    /// older one. Works beside everything else, which waits meanwhile. The file holds the token: keep it as safe as the store.
    pub async fn back_up(&self, file: &Path) -> Result<Contents, Error> {
        let (file, draft) = (file.to_owned(), beside(file, ".draft"));
        let out = create_private(&draft).map_err(|error| failed(&draft, error))?;
        let handle = out.try_clone().map_err(|error| failed(&draft, error))?;
        let contents = self.with(move |engine, _| engine.back_up(BufWriter::new(handle))).await?;
        let done = out.sync_all().and_then(|()| fs::rename(&draft, &file)).and_then(|()| sync_folder_of(&file));
        done.map_err(|error| failed(&file, error))?;
        Ok(contents)
    }

    /// Makes a store in `dir`, which must be missing or empty, out of a file of [`Comptoir::back_up`]; it is there as a whole or
    /// not at all. The restored store is another installation: it goes on under a fresh author and compares itself with the
    /// relay, so nothing is lost and no number is given twice, also where the old store lives on.
    pub async fn restore_store(file: &Path, dir: &Path) -> Result<Contents, Error> {
        let (file, dir) = (file.to_owned(), dir.to_owned());
        let restored = spawn_blocking(move || {
            let dir = std::path::absolute(&dir).map_err(|error| failed(&dir, error))?;
            match fs::read_dir(&dir).map(|mut entries| entries.next().is_none()) {
                Ok(true) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Ok(false) => return Err(Error::NotEmpty { path: dir }),
                Err(error) => return Err(failed(&dir, error)),
            }
            let draft = beside(&dir, ".restoring");
            let contents = checked_copy(&file, &draft)?.0;
            // Only an empty one goes: somebody may have made a store there meanwhile.
            let emptied = fs::remove_dir(&dir).or_else(|error| match error.kind() {
                ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            });
            let placed = emptied.and_then(|()| fs::rename(&draft, &dir)).and_then(|()| sync_folder_of(&dir));
            placed.map_err(|error| failed(&dir, error))?;
            Ok(contents)
        });
        restored.await.map_err(|_| Error::ShutDown)?
    }

    /// Whether every record is what its history makes it, and all rows fit each other; changes nothing. Takes as long as reading
    /// every document.
    pub async fn verify(&self) -> Result<Checked, Error> {
        self.with(|engine, _| engine.check()).await
    }

    /// As [`Comptoir::verify`], of a backup: a store is made of it where the system has room for what is temporary, looked
    /// through, and removed.
    pub async fn verify_backup(file: &Path) -> Result<Checked, Error> {
        let file = file.to_owned();
        let verified = spawn_blocking(move || {
            let scratch = std::env::temp_dir().join(format!("comptoir-verify-{:016x}", rand::random::<u64>()));
            let checked = checked_copy(&file, &scratch);
            // What the system keeps there is removed by it one day.
            let _ = remove_folder(&scratch);
            Ok(checked?.1)
        });
        verified.await.map_err(|_| Error::ShutDown)?
    }
}

/// A store in the folder `dir`, whatever was there before, looked through.
fn checked_copy(file: &Path, dir: &Path) -> Result<(Contents, Checked), Error> {
    let from = File::open(file).map_err(|error| failed(file, error))?;
    remove_folder(dir).and_then(|()| make_private_folder(dir)).map_err(|error| failed(dir, error))?;
    let opened = disk::open(dir, None, CACHE_BYTES).map_err(StoreError::from)?;
    let contents = restore(BufReader::new(from), &*opened.disk)?;
    // Opened again: what is looked at has been on the disk.
    drop(opened);
    let mut machine = Computer { dir: dir.to_owned(), kind: None };
    let opened = machine.open(false)?;
    let engine = Engine::open(opened.disk, &opened.identity, &mut machine.rng())?;
    Ok((contents, engine.check()?))
}

/// Readable by its owner only, where the system knows owners.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Not one that somebody else has put there.
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => options.open(path),
    }
}

fn make_private_folder(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::File { path: path.to_owned(), cause: error.to_string() }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    // Without a slash at its end.
    let mut name = path.components().collect::<PathBuf>().into_os_string();
    name.push(end);
    name.into()
}

fn remove_folder(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(above)?.sync_all() } else { Ok(()) }
}
