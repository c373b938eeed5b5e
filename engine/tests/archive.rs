//! Rows in one stream: what is written is read, and what is not what was written is said to be so.

#![allow(clippy::unwrap_used)]

use comptoir_engine::archive::{ArchiveError, ArchiveReader, ArchiveWriter, Contents, Kind, VALUE_BYTES_MAX};
use comptoir_engine::disk::{KEY_BYTES_MAX, Row};
use proptest::prelude::*;
use std::io::{self, BufReader, Read, Write};

fn written(rows: &[Row], kind: Kind) -> (Vec<u8>, Contents) {
    let mut writer = ArchiveWriter::new(Vec::new(), kind).unwrap();
    rows.iter().try_for_each(|(key, value)| writer.add(key, value)).unwrap();
    writer.finish().unwrap()
}

fn read(bytes: &[u8], kind: Kind) -> Result<Vec<Row>, ArchiveError> {
    let mut reader = ArchiveReader::new(bytes, kind)?;
    std::iter::from_fn(|| reader.next_row().transpose()).collect()
}

fn some_rows() -> Vec<Row> {
    (0..300u16)
        .map(|n| (n.to_be_bytes().to_vec(), format!("row {n}").repeat(usize::from(n) % 7).into_bytes()))
        .collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read(rows in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..400)), 0..60)) {
        let (bytes, contents) = written(&rows, Kind::Device);
        prop_assert_eq!(contents.rows, rows.len() as u64);
        prop_assert_eq!(read(&bytes, Kind::Device).unwrap(), rows);
    }
}

#[test]
fn the_longest_rows_pass_and_longer_ones_are_refused() {
    let rows = vec![(vec![7; KEY_BYTES_MAX], vec![8; VALUE_BYTES_MAX])];
    assert_eq!(read(&written(&rows, Kind::Log).0, Kind::Log).unwrap(), rows);
    let mut writer = ArchiveWriter::new(Vec::new(), Kind::Log).unwrap();
    assert!(matches!(writer.add(&[0; KEY_BYTES_MAX + 1], &[]), Err(ArchiveError::TooLong { .. })));
    assert!(matches!(writer.add(&[], &[0; VALUE_BYTES_MAX + 1]), Err(ArchiveError::TooLong { .. })));
}

#[test]
fn no_flipped_bit_goes_unseen() {
    let rows = some_rows();
    let (bytes, _) = written(&rows, Kind::Device);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut spoiled = bytes.clone();
            spoiled[at] ^= 1 << bit;
            // Some bits of a zstd frame's header mean nothing to its content.
            match read(&spoiled, Kind::Device) {
                Err(_) => {}
                Ok(read) => assert_eq!(read, rows, "bit {bit} of byte {at}"),
            }
        }
    }
}

#[test]
fn what_is_cut_short_or_followed_by_more_is_damaged() {
    let (bytes, _) = written(&some_rows(), Kind::Device);
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length], Kind::Device).is_err(), "{length} of {} bytes", bytes.len());
    }
    let more = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(read(&more, Kind::Device), Err(ArchiveError::Damaged { what: "bytes behind its end" })));
    let twice = [bytes.as_slice(), &bytes[2..]].concat();
    assert!(matches!(read(&twice, Kind::Device), Err(ArchiveError::Damaged { .. })));
}

#[test]
fn another_kind_a_newer_format_and_no_archive_are_told_apart() {
    let (mut bytes, _) = written(&some_rows(), Kind::Device);
    assert!(matches!(read(&bytes, Kind::Log), Err(ArchiveError::OtherKind { .. })));
    bytes[0] = 2;
    assert!(matches!(read(&bytes, Kind::Device), Err(ArchiveError::NewerFormat { found: 2 })));
    assert!(matches!(read(b"PK\x03\x04 something else", Kind::Device), Err(ArchiveError::OtherKind { .. })));
    assert!(matches!(read(b"", Kind::Device), Err(ArchiveError::Damaged { .. })));
}

#[test]
fn a_window_that_would_take_much_memory_is_refused() {
    let mut out = vec![1, Kind::Device as u8];
    let mut encoder = zstd::stream::write::Encoder::new(&mut out, 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    encoder.finish().unwrap();
    let took = allocation_counter::measure(|| assert!(read(&out, Kind::Device).is_err())).bytes_max;
    assert!(took < 4 << 20, "{took} bytes");
}

#[test]
fn who_cannot_read_is_told_so() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }
    }
    let error = ArchiveReader::new(BufReader::new(Broken), Kind::Device).err();
    assert!(matches!(error, Some(ArchiveError::Io { .. })), "{error:?}");
}
