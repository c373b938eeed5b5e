//! Backups that somebody else has written: bytes that are no archive, archives of rows that are none, and what a backup says
//! of itself. Must not know where backups are kept.

use crate::shop::{self, NOW};
use crate::{Plan, store};
use comptoir_engine::archive::{ArchiveReader, ArchiveWriter, Kind};
use comptoir_engine::disk::Row;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::id::{LogEpoch, LogSeq};
use comptoir_engine::store::restore;
use comptoir_engine::wire::batch::{self, Style};
use comptoir_relay::backup::{Cut, Feed, Manifest};
use comptoir_relay::log::{Head, Rebuild, Standing};
use sha2::{Digest as _, Sha256};

/// An archive takes its window and a row; what it is restored to takes what its rows name.
pub const MEMORY_BYTES_MAX: u64 = 256 << 20;

/// The first byte says what the rest is.
pub fn target(bytes: &[u8]) {
    let mut plan = Plan::new(bytes);
    match plan.byte() % 4 {
        0 => bytes_of_an_archive(plan.rest()),
        1 => store_of(&rows(&mut plan)),
        2 => log_of(&rows(&mut plan)),
        _ => manifest(plan.rest()),
    }
}

/// What can be read can be written, and reads the same again.
fn bytes_of_an_archive(bytes: &[u8]) {
    for kind in [Kind::Device, Kind::Log] {
        let Some(rows) = read(bytes, kind) else { continue };
        assert_eq!(read(&written(&rows, kind), kind).as_ref(), Some(&rows));
    }
}

fn read(bytes: &[u8], kind: Kind) -> Option<Vec<Row>> {
    let mut reader = ArchiveReader::new(bytes, kind).ok()?;
    std::iter::from_fn(|| reader.next_row().transpose()).collect::<Result<_, _>>().ok()
}

fn written(rows: &[Row], kind: Kind) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Vec::new(), kind).expect("memory to write to");
    for (key, value) in rows {
        // A row that is too long is refused, and nothing of it is written.
        let _ = writer.add(key, value);
    }
    writer.finish().expect("memory to write to").0
}

fn rows(plan: &mut Plan<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    while !plan.is_empty() {
        rows.push((plan.piece().to_vec(), plan.piece().to_vec()));
    }
    rows
}

/// A device's store is made of them, and looked through.
fn store_of(rows: &[Row]) {
    let disk = SimDisk::new();
    let restored = restore(&written(rows, Kind::Device)[..], &disk);
    if restored.is_ok()
        && let Ok(engine) = shop::open(&disk)
    {
        let _ = (engine.check(), engine.status());
    }
}

/// A relay's log is made of them.
fn log_of(rows: &[Row]) {
    let rebuild = Rebuild::new(Box::new(SimDisk::new()), NOW.wall);
    let mut feed = Feed::new(rebuild, Cut::default(), "a backup");
    let _ = feed.part(&written(rows, Kind::Log));
    let state = (shop::workspace(), Standing { epoch: LogEpoch([0; 16]), head: Head::default() });
    let _ = feed.compare(vec![state]);
}

/// It has the name it says it has, so that what is behind the check is reached too.
fn manifest(bytes: &[u8]) {
    let check: String = Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    assert!(Manifest::decode("a place", "20260101T000000.000Z-0123456789abcdef.json", bytes).is_err());
    if let Ok(manifest) = Manifest::decode("a place", &format!("20260101T000000.000Z-{check}.json"), bytes) {
        manifest.workspaces.iter().for_each(|state| _ = state.parse());
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let entries: Vec<Row> = shop::history()
        .chunks(3)
        .enumerate()
        .map(|(number, changes)| {
            let items: Vec<_> = changes.iter().map(|(record, change)| shop::item(record, change.clone())).collect();
            let seq = LogSeq(number as u64 + 1).0.to_be_bytes();
            let key = [b"e\0", shop::workspace().as_str().as_bytes(), b"\0", &seq].concat();
            (key, batch::pack(&items, Style::Explicit).expect("few changes"))
        })
        .collect();
    let key = (b"k\0k4.pid.x.paserk".to_vec(), b"k4.secret.x".to_vec());
    let plain = |first: u8, rows: &[Row]| {
        let pieces = rows.iter().flat_map(|(key, value)| [key, value]);
        let pieces = pieces.flat_map(|piece| [&(piece.len() as u16).to_be_bytes()[..], piece].concat());
        [vec![first], pieces.collect()].concat()
    };
    let manifest = r#"{"format":1,"release":"0.1.0","made":"2026-01-01T00:00:00Z","workspaces":[{"workspace":"shop","epoch":"00112233445566778899aabbccddeeff","tail":3,"digest":"00"}],"parts":[{"sha256":"ab","bytes":1,"rows":1}]}"#;
    let archive = |rows: &[Row], kind| [vec![0], written(rows, kind)].concat();
    vec![
        archive(store::rows(), Kind::Device),
        archive(&entries, Kind::Log),
        archive(&[], Kind::Log),
        plain(1, store::rows()),
        plain(1, &store::rows()[..4]),
        plain(2, &entries),
        plain(2, &entries[..1]),
        plain(2, &[key]),
        [&[3], manifest.as_bytes()].concat(),
    ]
}
