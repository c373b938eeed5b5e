//! Bytes that must not change: files of lines `name hex` in `golden/`, compared or rewritten. Must not know what they mean.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The environment variable that rewrites the files instead of comparing.
pub const BLESS: &str = "COMPTOIR_BLESS";

/// Named bytes, in order.
pub type Golden = Vec<(String, Vec<u8>)>;

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(file)
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of hexadecimal digits.
pub fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(digit).collect()
}

/// What a file pins.
pub fn read(file: &str) -> Golden {
    let text = fs::read_to_string(path(file))
        .unwrap_or_else(|error| panic!("{file}: {error}; run once with {BLESS}=1 to write it"));
    let line = |line: &str| {
        let (name, hex) = line.split_once(' ').expect("a line is `name hex`");
        (name.to_owned(), unhex(hex))
    };
    text.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

/// Fails when `now` differs from what `file` pins; returns what it pins, for decoding. With [`BLESS`] set it writes the
/// file instead. `about` is its first line.
pub fn check(file: &str, about: &str, now: &[(String, Vec<u8>)]) -> Golden {
    if std::env::var_os(BLESS).is_some() {
        let lines = now.iter().map(|(name, bytes)| format!("{name} {}\n", hex(bytes)));
        fs::write(path(file), format!("# {about}\n{}", lines.collect::<String>())).expect("the golden file is written");
    }
    let pinned = read(file);
    let names = |golden: &[(String, Vec<u8>)]| golden.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&pinned), names(now), "{file}: other values than those pinned; {BLESS}=1 rewrites the file");
    for ((name, pinned), (_, now)) in pinned.iter().zip(now) {
        assert!(
            pinned == now,
            "{file}: the bytes of `{name}` changed. Formats are versioned: other bytes need a new version byte, a reader of \
             the old one, and a fixture of both. If nothing was released yet, {BLESS}=1 rewrites the file.\n pinned {}\n \
             now    {}",
            hex(pinned),
            hex(now),
        );
    }
    pinned
}
