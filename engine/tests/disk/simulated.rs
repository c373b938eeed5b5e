//! What only the simulated disk promises: power cuts and failures at will.

use super::{END, all, batch, put, row};
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::{Disk, DiskError};

#[test]
fn a_power_cut_takes_what_was_not_flushed_but_for_the_batches_kept() {
    let disk = SimDisk::new();
    put(&disk, b"a", b"1");
    disk.flush().unwrap();
    for key in [b"b", b"c", b"d"] {
        put(&disk, key, b"2");
    }
    disk.apply(batch(&[(b"a", None)])).unwrap();
    disk.crash(2);
    assert_eq!(all(&disk), [row(b"a", b"1"), row(b"b", b"2"), row(b"c", b"2")]);
    put(&disk, b"e", b"3");
    disk.crash(0);
    assert_eq!(all(&disk.clone()).len(), 3);
    assert_eq!((disk.applies(), disk.flushes()), (6, 1));
}

#[test]
fn a_simulated_failure_comes_at_its_call_and_poisons_until_reopened() {
    let full = DiskError::Full { doing: "writing" };
    let disk = SimDisk::new();
    disk.fail_next(2, full.clone());
    put(&disk, b"a", b"1");
    assert_eq!(disk.get(b"a"), Ok(Some(b"1".to_vec())));
    assert_eq!(disk.flush(), Err(full));
    assert_eq!(disk.apply(batch(&[(b"b", None)])), Err(DiskError::Poisoned));
    assert_eq!(disk.flush(), Err(DiskError::Poisoned));
    assert_eq!(disk.get(b"a"), Err(DiskError::Poisoned));
    assert_eq!(disk.range(b"", END, 1), Err(DiskError::Poisoned));
    assert_eq!(disk.last(b"", END), Err(DiskError::Poisoned));
    disk.reopen();
    assert_eq!(disk.get(b"a"), Ok(Some(b"1".to_vec())));
    disk.crash(0);
    assert_eq!((disk.get(b"a"), disk.flushes()), (Ok(None), 0));
}
