//! A drive whose power is cut: what a tape's steps have made certain, and what may be lost of the rest. Must not know what
//! the files hold.
//!
//! The rules are those of a file system that promises no more than POSIX and ext4 (`data=ordered`) do:
//!
//! - What a file held at its last `fsync` or `fdatasync` is there. `sync_file_range` promises nothing.
//! - Of what was written since, each unit (a page of 4 KiB, or a sector of 512 bytes) may be as it was at any moment since.
//! - A file is as long as what of it was written; a file never shows bytes that were never written to it.
//! - Names in a folder appear, change and vanish in the order in which that was asked for, from some moment on not at all;
//!   syncing the folder makes all of it certain, syncing a file does not make its name certain.

use crate::tape::Step;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// How what was not synced is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Nothing of it is there.
    Everything,
    /// All of it is there.
    Nothing,
    /// Each file has what was done to it first; the last write may be torn.
    Tail,
    /// Each page of 4 KiB for itself.
    Pages,
    /// Each sector of 512 bytes for itself.
    Sectors,
}

/// All ways.
pub const LOSSES: [Loss; 5] = [Loss::Everything, Loss::Nothing, Loss::Tail, Loss::Pages, Loss::Sectors];

const PAGE_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Zero(usize, usize),
    Resize(usize),
}

impl Change {
    /// Does the part of it that lies in `from..until`.
    fn apply(&self, content: &mut Vec<u8>, from: usize, until: usize) {
        let (at, length) = match self {
            Self::Write(at, bytes) => (*at, bytes.len()),
            Self::Zero(at, length) => (*at, *length),
            Self::Resize(length) => return content.resize(*length, 0),
        };
        let (first, last) = (at.max(from), (at + length).min(until));
        if first >= last {
            return;
        }
        match self {
            Self::Write(_, bytes) => {
                content.resize(content.len().max(last), 0);
                content[first..last].copy_from_slice(&bytes[first - at..last - at]);
            }
            _ => {
                let last = last.min(content.len());
                content.get_mut(first..last).into_iter().for_each(|hole| hole.fill(0));
            }
        }
    }

    fn units(&self, unit: usize) -> std::ops::Range<usize> {
        match self {
            Self::Write(at, bytes) => at / unit..(at + bytes.len()).div_ceil(unit),
            Self::Zero(at, length) => at / unit..(at + length).div_ceil(unit),
            Self::Resize(_) => 0..0,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct File {
    synced: Vec<u8>,
    since: Vec<Change>,
}

impl File {
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.since) {
            change.apply(&mut self.synced, 0, usize::MAX);
        }
    }

    fn after(&self, loss: Loss, chance: &mut StdRng) -> Vec<u8> {
        let mut content = self.synced.clone();
        let whole = |content: &mut Vec<u8>, count: usize| {
            self.since[..count].iter().for_each(|change| change.apply(content, 0, usize::MAX));
        };
        match loss {
            Loss::Everything => {}
            Loss::Nothing => whole(&mut content, self.since.len()),
            Loss::Tail => {
                let count = chance.random_range(0..=self.since.len());
                whole(&mut content, count);
                if let Some(torn @ Change::Write(at, bytes)) = self.since.get(count) {
                    let sectors = (at + bytes.len()).div_ceil(SECTOR_BYTES) - at / SECTOR_BYTES;
                    let until = (at / SECTOR_BYTES + chance.random_range(0..=sectors)) * SECTOR_BYTES;
                    torn.apply(&mut content, 0, until);
                }
            }
            Loss::Pages => self.scattered(&mut content, PAGE_BYTES, chance),
            Loss::Sectors => self.scattered(&mut content, SECTOR_BYTES, chance),
        }
        content
    }

    /// Each unit has seen the first so many of the changes, and so has the length.
    fn scattered(&self, content: &mut Vec<u8>, unit: usize, chance: &mut StdRng) {
        let mut seen: HashMap<usize, usize> = HashMap::new();
        let count = self.since.len();
        let mut draw = || match chance.next_u32() % 3 {
            0 => 0,
            1 => count,
            _ => chance.random_range(0..=count),
        };
        let resized = draw();
        for (number, change) in self.since.iter().enumerate() {
            if matches!(change, Change::Resize(_)) && number < resized {
                change.apply(content, 0, 0);
            }
            for place in change.units(unit) {
                if number < *seen.entry(place).or_insert_with(&mut draw) {
                    change.apply(content, place * unit, (place + 1) * unit);
                }
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Node {
    File(usize),
    Folder,
}

#[derive(Debug, Clone)]
enum Naming {
    Set(String, Node),
    Remove(String),
    Move(String, String),
}

type Names = BTreeMap<String, Node>;

fn name(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::Set(name, node) => _ = names.insert(name.clone(), *node),
        Naming::Remove(name) => _ = names.remove(name),
        Naming::Move(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Folder {
    synced: Names,
    since: Vec<Naming>,
}

impl Folder {
    fn now(&self) -> Names {
        let mut names = self.synced.clone();
        self.since.iter().for_each(|naming| name(&mut names, naming));
        names
    }
}

/// The drive, as far as one folder on it goes.
#[derive(Debug, Clone)]
pub struct Drive {
    files: Vec<File>,
    by_inode: HashMap<u64, usize>,
    folders: BTreeMap<PathBuf, Folder>,
}

impl Default for Drive {
    fn default() -> Self {
        let folders = BTreeMap::from([(PathBuf::new(), Folder::default())]);
        Self { files: Vec::new(), by_inode: HashMap::new(), folders }
    }
}

impl Drive {
    /// Takes a step in.
    pub fn take(&mut self, step: &Step) {
        match step {
            Step::Create { inode, path } => {
                // An inode that was freed comes back as another file.
                let number = self.files.len();
                self.files.push(File::default());
                self.by_inode.insert(*inode, number);
                self.names(path, |name| Naming::Set(name, Node::File(number)));
            }
            Step::Write { inode, at, bytes } => self.change(*inode, Change::Write(*at, bytes.clone())),
            Step::Resize { inode, length } => self.change(*inode, Change::Resize(*length)),
            Step::Zero { inode, at, length } => self.change(*inode, Change::Zero(*at, *length)),
            Step::Sync { inode, path } => match self.folders.get_mut(path) {
                Some(folder) => {
                    folder.synced = folder.now();
                    folder.since.clear();
                }
                None => self.file(*inode).sync(),
            },
            Step::Rename { from, to } => {
                assert_eq!(from.parent(), to.parent(), "a rename inside one folder");
                let to = last_name(to);
                self.names(from, |name| Naming::Move(name, to));
            }
            Step::Unlink { path } | Step::RemoveDir { path } => self.names(path, Naming::Remove),
            Step::MakeDir { path } => {
                self.folders.insert(path.clone(), Folder::default());
                if path.parent().is_some() {
                    self.names(path, |name| Naming::Set(name, Node::Folder));
                }
            }
            Step::Said { .. } | Step::Failed { .. } | Step::PartSync { .. } => {}
        }
    }

    /// What is found after a power cut now, written to the new folder `to`. How many things were not certain.
    pub fn cut(&self, loss: Loss, chance: &mut StdRng, to: &Path) -> usize {
        let uncertain = self.files.iter().map(|file| file.since.len()).sum::<usize>()
            + self.folders.values().map(|folder| folder.since.len()).sum::<usize>();
        self.write_folder(Path::new(""), loss, chance, to);
        uncertain
    }

    fn write_folder(&self, path: &Path, loss: Loss, chance: &mut StdRng, to: &Path) {
        fs::create_dir_all(to).expect("a folder");
        let folder = &self.folders[path];
        let count = match loss {
            Loss::Everything => 0,
            Loss::Nothing => folder.since.len(),
            _ => chance.random_range(0..=folder.since.len()),
        };
        let mut names = folder.synced.clone();
        folder.since[..count].iter().for_each(|naming| name(&mut names, naming));
        for (name, node) in names {
            match node {
                Node::Folder => self.write_folder(&path.join(&name), loss, chance, &to.join(name)),
                Node::File(number) => {
                    fs::write(to.join(name), self.files[number].after(loss, chance)).expect("a file");
                }
            }
        }
    }

    fn file(&mut self, inode: u64) -> &mut File {
        let number = self.by_inode.get(&inode).expect("a file that was seen when it was made");
        &mut self.files[*number]
    }

    fn change(&mut self, inode: u64, change: Change) {
        self.file(inode).since.push(change);
    }

    fn folder(&mut self, path: &Path) -> &mut Folder {
        let parent = path.parent().expect("a path inside the folder");
        self.folders.get_mut(parent).expect("a folder that was seen when it was made")
    }

    fn names(&mut self, path: &Path, naming: impl FnOnce(String) -> Naming) {
        let name = last_name(path);
        self.folder(path).since.push(naming(name));
    }
}

fn last_name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}
