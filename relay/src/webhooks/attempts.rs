//! The delivery log of one webhook: a line for each attempt, in a file that is set aside as a second one when it is full. Not
//! synced: it is for people. Must not know what an attempt does.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use utoipa::ToSchema;

/// The longest line, in bytes.
const LINE_BYTES_MAX: usize = 2048;
const NEW: &str = "attempts.jsonl";
const OLD: &str = "attempts-before.jsonl";

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The endpoint has it.
    Delivered,
    /// It did not take it; it is tried again, or stays a dead letter.
    Failed,
    /// It did not take it, and it is a dead letter now.
    Dead,
    /// It wants no more: the webhook is suspended.
    Gone,
}

impl Outcome {
    /// Its name, as in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Gone => "gone",
        }
    }
}

/// One attempt to deliver a message.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// When, RFC 3339.
    pub at: String,
    /// The message's `webhook-id`.
    pub id: String,
    /// The how many-th attempt of this message.
    pub attempt: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// The answer's status; none where there was no answer.
    #[schema(required)]
    pub status: Option<u16>,
    /// Why there was no answer: `timeout`, `unreachable`, `webhook_address` and others.
    #[schema(required)]
    pub error: Option<String>,
    /// The system's words for it.
    #[schema(required)]
    pub cause: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The changes in it.
    pub changes: usize,
    /// The place in the change feed in front of its first change.
    pub after: String,
}

/// The log of one webhook.
pub(super) struct Attempts {
    folder: PathBuf,
    lines: usize,
    lines_max: usize,
}

impl Attempts {
    /// The log in this folder, which holds `lines_max` lines at least and twice as many at most.
    pub(super) fn open(folder: &Path, lines_max: usize) -> Self {
        let lines = read(&folder.join(NEW), usize::MAX).map_or(0, |lines| lines.len());
        Self { folder: folder.to_owned(), lines, lines_max }
    }

    /// Writes a line.
    pub(super) fn add(&mut self, attempt: &Attempt) -> io::Result<()> {
        let path = self.folder.join(NEW);
        if self.lines >= self.lines_max {
            fs::rename(&path, self.folder.join(OLD))?;
            self.lines = 0;
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path)?.write_all(format!("{}\n", serde_json::to_string(attempt)?).as_bytes())?;
        self.lines += 1;
        Ok(())
    }

    /// The newest attempts, the newest first.
    pub(super) fn newest(&self, limit: usize) -> io::Result<Vec<Attempt>> {
        let mut found = Vec::new();
        for name in [NEW, OLD] {
            let lines = read(&self.folder.join(name), limit - found.len())?;
            found.extend(lines.into_iter().rev());
        }
        Ok(found)
    }
}

/// The last lines of a file, the last one last. A line that was cut short is left out.
fn read(path: &Path, lines_max: usize) -> io::Result<Vec<Attempt>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let (mut reader, mut lines, mut line) = (BufReader::new(file), VecDeque::new(), Vec::new());
    loop {
        line.clear();
        if reader.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)? == 0 {
            return Ok(lines.into());
        }
        if let Ok(attempt) = serde_json::from_slice(&line) {
            lines.push_back(attempt);
        }
        if lines.len() > lines_max {
            lines.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u32) -> Attempt {
        Attempt {
            at: String::new(),
            id: format!("msg_{number}"),
            attempt: 1,
            outcome: Outcome::Delivered,
            status: Some(200),
            error: None,
            cause: None,
            took_ms: 1,
            changes: 1,
            after: String::new(),
        }
    }

    #[test]
    fn the_newest_come_first_and_the_oldest_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Attempts::open(folder.path(), 4);
        for number in 0..11 {
            log.add(&attempt(number)).expect("written");
        }
        let ids = |log: &Attempts, limit| -> Vec<String> {
            log.newest(limit).expect("read").into_iter().map(|attempt| attempt.id).collect()
        };
        assert_eq!(ids(&log, 2), ["msg_10", "msg_9"]);
        assert_eq!(ids(&log, 100).len(), 7, "the four set aside, and three since");
        // A line that a power cut ended, and one behind it.
        let path = folder.path().join(NEW);
        let whole = fs::read_to_string(&path).expect("read");
        fs::write(&path, format!("{whole}{{\"at\"\n")).expect("written");
        let mut log = Attempts::open(folder.path(), 4);
        log.add(&attempt(11)).expect("written");
        assert_eq!(ids(&log, 2), ["msg_11", "msg_10"]);
    }
}
