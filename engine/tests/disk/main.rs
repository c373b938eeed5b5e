//! What keeps a store's rows: one suite for every disk (sled, redb and the simulated one), then what each promises besides,
//! and copying a store of one kind into another. Must not reach into privates.

#![allow(clippy::unwrap_used)]

mod journal;
mod kinds;
mod migrate;
mod redb;
mod rows;
mod simulated;
mod sled;
mod transactions;

use comptoir_engine::disk::redb::RedbDisk;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::txn::Txn;
use comptoir_engine::disk::{Batch, CACHE_BYTES, Disk, DiskError, Row};

use std::fs;
use std::path::Path;

const END: &[u8] = &[0xff];

fn on_every_disk(check: impl Fn(&dyn Disk)) {
    check(&SimDisk::new());
    let dir = tempfile::tempdir().unwrap();
    check(&sled::open(dir.path()).unwrap());
    let dir = tempfile::tempdir().unwrap();
    check(&RedbDisk::open(dir.path(), CACHE_BYTES).unwrap());
}

fn batch(rows: &[(&[u8], Option<&[u8]>)]) -> Batch {
    Batch { rows: rows.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect() }
}

fn put(disk: &dyn Disk, key: &[u8], value: &[u8]) {
    disk.apply(batch(&[(key, Some(value))])).unwrap();
}

fn row(key: &[u8], value: &[u8]) -> Row {
    (key.to_vec(), value.to_vec())
}

fn all(disk: &dyn Disk) -> Vec<Row> {
    disk.range(b"", END, usize::MAX).unwrap()
}

fn commit(disk: &dyn Disk, key: &[u8], value: &[u8]) {
    let mut txn = Txn::new(disk);
    txn.put(key.to_vec(), value);
    txn.commit().unwrap();
}

/// `bytes` bytes that differ from place to place and from seed to seed.
fn long(bytes: usize, seed: u8) -> Vec<u8> {
    (0..bytes).map(|at| (at / 251) as u8 ^ (at % 251) as u8 ^ seed).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn replace(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    copy(from, to);
}

fn is_damaged<T>(outcome: &Result<T, DiskError>, what: &str) -> bool {
    matches!(outcome, Err(DiskError::Damaged { what: found }) if found.contains(what))
}

/// Every file of a folder with its bytes.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.push((name, fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}
