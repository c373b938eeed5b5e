//! How a command answers: a line for people, or JSON for programs. Must not know what is said.

use crate::error::Error;
use crate::text;
use serde_json::{Value as Json, json};
use std::io::Write as _;

/// Where a command's answers go.
pub(super) struct Output {
    pub(super) json: bool,
}

impl Output {
    /// One answer: `text` for people, `json` for programs. A reader who has gone is no error.
    pub(super) fn say(&self, text: impl FnOnce() -> String, json: impl FnOnce() -> Json) {
        match self.json {
            true => self.line(&json().to_string()),
            false => self.line(&text()),
        }
    }

    pub(super) fn line(&self, line: &str) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }

    /// One line on stderr: what, why, and what to do.
    pub(super) fn error(&self, error: &Error) {
        let message = tell(error);
        let line = match self.json {
            true => json!({"error": {"code": error.code(), "message": message}}).to_string(),
            false => format!("comptoir: {message}"),
        };
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

/// The error in one line: English is its own `Display`, other languages come from `locales/` by its code.
fn tell(error: &Error) -> String {
    let foreign = text::foreign_text(&format!("error.{}", error.code()), &error.args());
    text::one_line(&foreign.unwrap_or_else(|| error.to_string()))
}
