//! Files spoiled, one at a time and each in every way: nobody is shown anything but what was saved. Must not know what the
//! files hold.

use crate::cuts::Side;
use crate::device;
use crate::failures::copy;
use crate::process::scratch;
use crate::relay::{self, Placed};
use crate::sales::{REFUSED, Sales};
use comptoir_tests::device::Device;
use comptoir_tests::program::{self, Running, binary};
use comptoir_tests::relay::Relay;
use comptoir_tests::wait;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PAGE_BYTES: usize = 4096;
/// How a file is spoiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spoil {
    /// One bit is another.
    Flip,
    /// A page of 4 KiB is zeros.
    ZeroPage,
    /// Its end is gone.
    Truncate,
    /// It is as it was some sales ago.
    Stale,
    /// It is not there.
    Remove,
    /// A copy lies beside it, under the names that unfinished work leaves.
    LeftOver,
}

const SPOILS: [Spoil; 6] =
    [Spoil::Flip, Spoil::ZeroPage, Spoil::Truncate, Spoil::Stale, Spoil::Remove, Spoil::LeftOver];

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Folders that were spoiled.
    pub cases: u64,
    /// Everything was as it had been: what was spoiled is not needed, or was made again.
    pub unharmed: u64,
    /// An error when it was opened.
    pub at_open: u64,
    /// An error when it was read.
    pub when_read: u64,
    /// Found only by a check of all rows.
    pub by_check: u64,
    /// Something else was shown, without a word.
    pub silent: u64,
    /// By file and spoiling: unharmed, noticed, silent.
    pub by_file: BTreeMap<String, [u64; 3]>,
    /// The spoilings that were silent.
    pub failures: Vec<String>,
}

/// What a folder shows.
#[derive(Debug, PartialEq)]
enum Shown {
    All,
    RefusedAtOpen(String),
    RefusedWhenRead(String),
    /// Something else, and what a check of all rows says.
    Else(String, Result<(), String>),
}

/// A folder that is spoiled again and again, and how it was some time before.
pub struct Patient {
    side: Side,
    sales: usize,
    folder: tempfile::TempDir,
    changes: Vec<Placed>,
    token: String,
}

impl Patient {
    /// Makes a relay and a device with a real shop's sales, all of them on the relay too. Their processes ended well, or were
    /// killed: then there is more that sled has to gather from its log.
    pub fn make(side: Side, killed: bool, sales: usize) -> Self {
        let earlier = sales * 2 / 3;
        let folder = scratch();
        let path = |name: &str| folder.path().join(name);
        let mut relay = Relay::start(&path("relay"));
        let token = relay.token(relay::WORKSPACE);
        let till = Device::init(&path("till"), relay::WORKSPACE, &relay.url(), &token);
        for (part, numbers) in [0..earlier, earlier..sales].into_iter().enumerate() {
            let mut sell = Command::new(binary("powercut"));
            sell.arg("sell").arg(till.store()).args([numbers.start.to_string(), numbers.end.to_string()]);
            if killed {
                let selling = Running::start(sell.arg("--live"));
                let last = format!("saved {}", numbers.end - 1);
                wait::until("the last sale", || (selling.line() == last).then_some(()));
                wait::until("its receipt", || (selling.line() == "synced").then_some(()));
                selling.kill();
                relay.kill();
            } else {
                program::run(&mut sell).success();
                till.sync();
                relay.terminate().success();
            }
            if part == 0 {
                copy(&path("till"), &path("till-earlier"));
                copy(&path("relay"), &path("relay-earlier"));
                relay.restart();
            }
        }
        // A copy is read, so that the folder stays as its process left it.
        copy(&path("relay"), &path("read"));
        let grant = relay::grant(&path("read"), &token).expect("the token is good");
        let changes = relay::open(&relay::log_folder(&path("read")), &grant).expect("the log opens").changes;
        Self { side, sales, folder, changes, token }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(if self.side == Side::Device { "till" } else { "relay" })
    }

    fn earlier(&self) -> PathBuf {
        self.folder.path().join(if self.side == Side::Device { "till-earlier" } else { "relay-earlier" })
    }

    /// Spoils every file in every way, in `places` places where there is a choice.
    pub fn campaign(&self, places: usize, seed: u64) -> Report {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut report = Report::default();
        for file in files(&self.path()) {
            for spoil in SPOILS {
                let times = if matches!(spoil, Spoil::Flip | Spoil::ZeroPage | Spoil::Truncate) { places } else { 1 };
                for time in 0..times {
                    let spoiled = scratch();
                    let folder = spoiled.path().join("spoiled");
                    copy(&self.path(), &folder);
                    if self.spoil(&folder, &file, spoil, time, times, &mut chance) {
                        report.note(&file, spoil, &format!("{time} of {times}, seed {seed}"), self.look(&folder));
                    }
                }
            }
        }
        report
    }

    /// False when that changes nothing.
    fn spoil(&self, folder: &Path, file: &Path, spoil: Spoil, time: usize, times: usize, chance: &mut StdRng) -> bool {
        let path = folder.join(file);
        let mut bytes = fs::read(&path).expect("the file");
        let before = bytes.clone();
        let place = if bytes.is_empty() { 0 } else { chance.random_range(time * bytes.len() / times..bytes.len()) };
        match spoil {
            Spoil::Flip if bytes.is_empty() => return false,
            Spoil::Flip => bytes[place] ^= 1 << chance.random_range(0..8),
            Spoil::ZeroPage => {
                let from = place / PAGE_BYTES * PAGE_BYTES;
                let until = (from + PAGE_BYTES).min(bytes.len());
                bytes[from..until].fill(0);
            }
            Spoil::Truncate => bytes.truncate(if time == 0 { 0 } else { place }),
            Spoil::Stale => match fs::read(self.earlier().join(file)) {
                Ok(earlier) => bytes = earlier,
                Err(_) => return false,
            },
            Spoil::Remove => {
                fs::remove_file(&path).expect("the file goes");
                return true;
            }
            Spoil::LeftOver => {
                for ending in ["new", "generating", "draft", "tmp"] {
                    let name = format!("{}.{ending}", path.file_name().expect("a name").to_string_lossy());
                    fs::write(path.with_file_name(name), &bytes[..place]).expect("a file");
                }
                return true;
            }
        }
        fs::write(&path, &bytes).expect("the file");
        bytes != before
    }

    /// Spoils the device's store; what it is told to do then gives it everything again.
    pub fn heal_device(&self) {
        let (store, aside) = (self.path(), self.folder.path().join("aside"));
        break_store(&store);
        let line = Device::at(&store).fails(&["list", "sales"]);
        assert!(line.contains("damaged") && line.contains("rebuild from the relay into a new one"), "{line}");
        let relay = Relay::start(&self.folder.path().join("relay"));
        fs::rename(&store, aside).expect("the folder is moved");
        let again = Device::init(&store, relay::WORKSPACE, &relay.url(), &self.token);
        again.sync();
        assert_eq!(look_at_device(&store, self.sales), Shown::All);
    }

    /// Spoils the relay's log; a new one is filled by the device, and a device that comes later gets everything.
    pub fn heal_relay(&self) {
        let (data, aside) = (self.path(), self.folder.path().join("aside"));
        let log = relay::log_folder(&data);
        break_store(&log);
        let mut serve = comptoir_tests::relay::command(&["serve", "--listen", "127.0.0.1:0"]);
        let line = program::run(serve.arg("--data").arg(&data)).failure();
        assert!(line.contains("damaged"), "{line}");
        fs::rename(log, aside).expect("the folder is moved");
        let relay = Relay::start(&data);
        let till = Device::at(&self.folder.path().join("till"));
        till.ok(&["init", "--workspace", relay::WORKSPACE, "--relay", &relay.url(), "--token", &self.token]);
        till.sync();
        let late = self.folder.path().join("late");
        Device::init(&late, relay::WORKSPACE, &relay.url(), &self.token).sync();
        assert_eq!(look_at_device(&late, self.sales), Shown::All);
    }

    fn look(&self, folder: &Path) -> Shown {
        match self.side {
            Side::Device => look_at_device(folder, self.sales),
            Side::Relay => self.look_at_relay(folder),
        }
    }

    fn look_at_relay(&self, folder: &Path) -> Shown {
        let grant = match relay::grant(folder, &self.token) {
            Ok(grant) => grant,
            Err(error) => return Shown::RefusedAtOpen(error),
        };
        match relay::open(&relay::log_folder(folder), &grant) {
            Err(error) => Shown::RefusedAtOpen(error.to_string()),
            Ok(opened) if opened.changes == self.changes && opened.head.digest == opened.sum => Shown::All,
            Ok(opened) => {
                let fits = opened.head.digest == opened.sum && opened.last == opened.head.tail;
                let check = if fits { Ok(()) } else { Err("the head does not fit the rows".to_owned()) };
                Shown::Else(format!("{} of {} changes", opened.changes.len(), self.changes.len()), check)
            }
        }
    }
}

/// Half of sled's log is gone, and the journal that could replace it.
fn break_store(folder: &Path) {
    let path = folder.join("sled/db");
    let bytes = fs::read(&path).expect("the log");
    fs::write(path, &bytes[..bytes.len() / 2]).expect("the log");
    fs::write(folder.join("journal"), b"").expect("the journal");
}

fn look_at_device(folder: &Path, sales: usize) -> Shown {
    let engine = match device::open(folder) {
        Ok(engine) => engine,
        Err(error) => return Shown::RefusedAtOpen(error.to_string()),
    };
    let all: BTreeSet<usize> = (0..sales).collect();
    match Sales::first(sales).held(&engine, &all, &all) {
        Ok(_) if engine.check().is_ok() => Shown::All,
        Err(what) if what.starts_with(REFUSED) => Shown::RefusedWhenRead(what),
        held => {
            let check = engine.check().map(|_| ()).map_err(|error| error.to_string());
            Shown::Else(format!("{held:?}"), check)
        }
    }
}

impl Report {
    fn note(&mut self, file: &Path, spoil: Spoil, which: &str, shown: Shown) {
        self.cases += 1;
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let name = name.split('.').next().unwrap_or_default().to_owned();
        let counts = self.by_file.entry(format!("{name} {spoil:?}").to_lowercase()).or_default();
        let (count, column) = match &shown {
            Shown::All => (&mut self.unharmed, 0),
            Shown::RefusedAtOpen(_) => (&mut self.at_open, 1),
            Shown::RefusedWhenRead(_) => (&mut self.when_read, 1),
            Shown::Else(_, Err(_)) => (&mut self.by_check, 1),
            Shown::Else(_, Ok(())) => (&mut self.silent, 2),
        };
        *count += 1;
        counts[column] += 1;
        if let Shown::Else(what, check) = shown {
            self.failures.push(format!("{} {spoil:?}, {which}: {what}; a check says {check:?}", file.display()));
        }
    }
}

/// All files below a folder, their paths from there on, in order.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inside)).expect("a folder") {
            let path = inside.join(entry.expect("an entry").file_name());
            if folder.join(&path).is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}
