//! A device: the process that sells on it, and its store opened again. Must not know what happened to its files.

use crate::process::Watched;
use crate::sales::{SHOP, Sales};
use crate::tape::Step;
use comptoir::{Comptoir, Mode, State};
use comptoir_engine::disk::{self, CACHE_BYTES, DiskError, Opened};
use comptoir_engine::{Engine, StoreError, Timestamp};
use comptoir_tests::wait;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What the process that is watched does.
#[derive(Debug, Clone, clap::Args)]
pub struct Selling {
    /// The store's folder.
    store: PathBuf,
    /// The first basket's place.
    from: usize,
    /// The place behind the last one.
    until: usize,
    /// Whose baskets.
    #[arg(long, default_value = SHOP)]
    shop: String,
    /// Stays connected to the relay, and goes on until it is killed.
    #[arg(long)]
    live: bool,
}

/// One call a line, so that it stands on the tape where it was said.
fn say(line: &str) {
    let mut out = std::io::stdout();
    out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).expect("somebody listens");
}

/// Sells baskets one after another, and says of each that it was saved, or why not. A sale that failed is not tried again:
/// whether it was kept is not known.
pub fn sell(selling: &Selling) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(sell_all(selling)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("refused {} {error}", error.code()));
            ExitCode::FAILURE
        }
    }
}

async fn sell_all(selling: &Selling) -> Result<(), comptoir::Error> {
    let Selling { store, from, until, shop, live } = selling;
    let sales = Sales::default().and(shop, *from..*until, *from);
    let shop = Comptoir::open(store).await?;
    if *live {
        shop.stay_live(Mode::Both).await?;
    }
    for number in *from..*until {
        say(&format!("tries {number}"));
        match shop.commit(sales.edits(number)).await {
            Ok(_) => say(&format!("saved {number}")),
            Err(error) => {
                say(&format!("failed {} {error}", error.code()));
                // wait: the store is opened again a little later.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        // Every third sale waits for its receipt; the others are on their way together.
        if *live && number % 3 == 0 {
            synced(&shop).await;
            say("synced");
        }
    }
    if *live {
        synced(&shop).await;
        say("synced");
        std::future::pending::<()>().await;
    }
    shop.shut_down().await
}

/// Waits until a device is up to date with all that was saved before. The stream of statuses may still show how things
/// stood before an edit, so each is asked for.
pub async fn synced(shop: &Comptoir) {
    loop {
        let status = shop.status().await.map(|status| status.engine);
        if status.is_ok_and(|status| status.state == State::UpToDate && status.pending == 0) {
            return;
        }
        // wait: between two looks at a state of another thread.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What a process has said through some step.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Sales that were reported saved.
    pub saved: BTreeSet<usize>,
    /// Sales that were begun.
    pub tried: BTreeSet<usize>,
    /// Sales that the relay had acknowledged when the device was up to date.
    pub synced: BTreeSet<usize>,
    /// Errors that were reported, as their codes and words.
    pub errors: Vec<String>,
}

impl Told {
    /// Takes in what was said.
    pub fn hear(&mut self, step: &Step) {
        let Step::Said { fd: 1, bytes } = step else { return };
        self.hear_lines(&String::from_utf8_lossy(bytes));
    }

    /// As [`Told::hear`], lines of text.
    pub fn hear_lines(&mut self, text: &str) {
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let number = || rest.parse().expect("a number");
            match word {
                "saved" => _ = self.saved.insert(number()),
                "tries" => _ = self.tried.insert(number()),
                "synced" => self.synced.clone_from(&self.saved),
                "failed" | "refused" => self.errors.push(rest.to_owned()),
                _ => {}
            }
        }
    }
}

/// Records a device: a store is made, sales are made by a process that ends well, by one that is killed, and by others.
pub fn record(watched: &Watched, sales: usize) {
    let store = watched.root.to_str().expect("a path");
    let init = ["--store", store, "init", "--workspace", "supermarket", "--store-kind", watched.kind.name()];
    watched.start("comptoir", &init).wait(Duration::from_secs(60)).success();
    let part = sales / 3;
    for (turn, from) in [0, part, 2 * part].into_iter().enumerate() {
        let until = if turn == 2 { sales } else { from + part };
        let mut process = watched.start("powercut", &["sell", store, &from.to_string(), &until.to_string()]);
        if turn == 1 {
            // Killed at two thirds; what was not sold is never sold.
            let last = format!("saved {}", from + 2 * part / 3);
            wait::until("a sale in the middle", || (process.line() == last).then_some(()));
            watched.kill(process);
        } else {
            assert!(process.is_alive() || turn < 3);
            process.wait(Duration::from_secs(120)).success();
        }
    }
}

/// Opens a store as the app does.
pub fn open(store: &Path) -> Result<Engine, StoreError> {
    let mut rng = StdRng::from_rng(&mut rand::rng());
    if !store.join("format").exists() {
        return Err(StoreError::NotInitialised);
    }
    let Opened { disk, identity } = opened(store)?;
    Engine::open(disk, &identity, &mut rng)
}

/// Opens a disk. A process that another thread starts holds every lock of this one for a moment, until it runs its own
/// program.
pub fn opened(folder: &Path) -> Result<Opened, DiskError> {
    let begun = Instant::now();
    loop {
        match disk::open(folder, None, CACHE_BYTES) {
            Err(DiskError::InUse { .. }) if begun.elapsed() < Duration::from_secs(10) => {}
            opened => return opened,
        }
        // wait: between two tries, because the lock is let go of without a word.
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The time of edits made after a power cut.
pub fn now() -> comptoir_engine::Now {
    comptoir_engine::Now { wall: Timestamp { unix_ms: 1_700_000_000_000 }, monotonic_ms: 0 }
}
