//! The repository's own source files as text, for the tests that hold its structure. Must not know any rule.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path from the repository's root, what it says, and the same without comments and literals.
pub struct Source {
    /// With forward slashes, such as `engine/src/store/keys.rs`.
    pub path: String,
    /// As it is.
    pub text: String,
    /// Comments and the content of texts and characters are blanks; every line stands where it stood.
    pub code: String,
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_path_buf()
}

/// Every Rust file under the folders given, sorted by path, but what a build made. A folder that is not there has none.
pub fn sources(folders: &[&str]) -> Vec<Source> {
    let root = root();
    let mut paths = Vec::new();
    folders.iter().for_each(|folder| collect(&root.join(folder), &mut paths));
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = path.strip_prefix(&root).expect("under the root").to_string_lossy().replace('\\', "/");
        let code = blank(&text);
        Source { path, text, code }
    };
    paths.into_iter().map(read).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder's entry").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The line of a byte position, from 1.
pub fn line_of(text: &str, position: usize) -> usize {
    text[..position].bytes().filter(|byte| *byte == b'\n').count() + 1
}

/// The position of the brace that closes the one at `open`, or the end.
pub fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

/// The code without its unit tests: what stands in a `mod` behind `#[cfg(test)]` is blank.
pub fn without_tests(code: &str) -> String {
    let mut bytes = code.as_bytes().to_vec();
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let Some(open) = code[at..].find(['{', ';']).map(|offset| at + offset) else { continue };
        let end = if code.as_bytes()[open] == b'{' { closing_brace(code, open) } else { open };
        bytes[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    }
    String::from_utf8(bytes).expect("blanks in place of code")
}

/// Comments and the content of literals become blanks.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let (end, keep) = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => (find(text, at, "\n", 0), 0),
            b'/' if bytes.get(at + 1) == Some(&b'*') => (block_comment(bytes, at), 0),
            b'"' => (quoted(bytes, at + 1), 1),
            b'r' if !named(bytes, at) && raw_hashes(bytes, at + 1).is_some() => raw(text, at),
            b'\'' if bytes.get(at + 1) == Some(&b'\\') => (find(text, at + 3, "'", 1), 1),
            b'\'' => match text[at + 1..].chars().next().map(char::len_utf8) {
                Some(length) if bytes.get(at + 1 + length) == Some(&b'\'') => (at + length + 2, 1),
                _ => (at + 1, 1),
            },
            _ => (at + 1, 1),
        };
        for (place, byte) in out.iter_mut().enumerate().take(end).skip(at) {
            let edge = keep > 0 && (place < at + keep || place + 1 == end);
            if *byte != b'\n' && !edge {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).expect("whole characters became blanks")
}

fn find(text: &str, from: usize, what: &str, past: usize) -> usize {
    let from = from.min(text.len());
    text.as_bytes()[from..]
        .windows(what.len())
        .position(|window| window == what.as_bytes())
        .map_or(text.len(), |offset| from + offset + past)
}

fn block_comment(bytes: &[u8], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn quoted(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether the letter at `at` is the end of a longer name.
fn named(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
    (before.is_ascii_alphanumeric() && before != b'b') || before == b'_'
}

fn raw_hashes(bytes: &[u8], from: usize) -> Option<usize> {
    let hashes = bytes[from..].iter().take_while(|byte| **byte == b'#').count();
    (bytes.get(from + hashes) == Some(&b'"')).then_some(hashes)
}

fn raw(text: &str, at: usize) -> (usize, usize) {
    let hashes = raw_hashes(text.as_bytes(), at + 1).unwrap_or(0);
    let end = format!("\"{}", "#".repeat(hashes));
    (find(text, at + hashes + 2, &end, end.len()), 1)
}

#[cfg(test)]
mod tests {
    use super::blank;

    #[test]
    fn comments_and_literals_become_blanks_and_code_stays() {
        let code = blank("a(\"x // {\"); // b\n'{'; r#\"\"}\"#; /* { */ &'a str; b'\\''; \"é\" end");
        assert!(!code.contains('{') && !code.contains('}') && !code.contains("// b"), "{code}");
        assert!(code.contains("&'a str") && code.ends_with("end") && code.contains('\n'), "{code}");
    }
}
