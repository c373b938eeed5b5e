//! What people read, in their language: English is an error's own `Display`, French comes from `locales/` by the
//! error's code. Must not know which errors there are.

use comptoir_engine::disk::DiskError;
use std::fmt::Display;

/// The languages there are texts in.
pub const LOCALES: [&str; 2] = ["en", "fr"];

/// The environment variable that names the language.
pub const LOCALE_VARIABLE: &str = "COMPTOIR_LANG";

/// An error that can be told in any language.
pub trait Told: Display {
    /// Its name, the same in every release.
    fn code(&self) -> &'static str;

    /// What its text speaks of, by name.
    fn args(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// Takes the language from [`LOCALE_VARIABLE`], else from the system, else English.
pub fn choose_locale() {
    let asked = std::env::var(LOCALE_VARIABLE).ok().filter(|name| !name.is_empty());
    let name = asked.or_else(sys_locale::get_locale).unwrap_or_default().to_ascii_lowercase();
    let known = LOCALES.iter().find(|locale| name.split(['-', '_', '.']).next() == Some(**locale));
    rust_i18n::set_locale(known.copied().unwrap_or(LOCALES[0]));
}

/// The text with this key in the chosen language.
pub fn text(key: &str) -> String {
    rust_i18n::t!(key).into_owned()
}

/// As [`text`], with values in their places.
pub fn text_with(key: &str, values: &[(&str, String)]) -> String {
    let (names, values): (Vec<_>, Vec<_>) = values.iter().cloned().unzip();
    rust_i18n::replace_patterns(&text(key), &names, &values)
}

/// Bytes as people compare them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The error in one line, in the chosen language.
pub fn tell(error: &dyn Told) -> String {
    tell_in(&rust_i18n::locale(), error)
}

/// The error in one line, in `locale`; in English where there is no such text.
pub fn tell_in(locale: &str, error: &dyn Told) -> String {
    let english = || one_line(&error.to_string());
    if locale == LOCALES[0] {
        return english();
    }
    let key = format!("error.{}", error.code());
    let Some(pattern) = crate::_rust_i18n_try_translate(locale, &key) else { return english() };
    let (names, values): (Vec<_>, Vec<_>) = error.args().into_iter().unzip();
    one_line(&rust_i18n::replace_patterns(&pattern, &names, &values))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Told for DiskError {
    fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } | Self::NoRoom { .. } => "disk_full",
            Self::Io { .. } => "disk_failed",
            Self::Poisoned => "disk_stopped",
            Self::InUse { .. } => "data_in_use",
            Self::NotAStore { .. } => "not_a_store",
            Self::OtherKind { .. } => "other_kind",
            Self::CopyDiffers { .. } => "copy_differs",
            Self::Damaged { .. } => "data_damaged",
            Self::NewerFormat { .. } => "newer_format",
            Self::TooLong { .. } => "row_too_long",
            Self::ReservedKey { .. } => "reserved_key",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Full { .. } | Self::NoRoom { .. } | Self::Poisoned => Vec::new(),
            Self::Io { cause, .. } => vec![("cause", cause.clone())],
            Self::InUse { path } | Self::NotAStore { path } => vec![("path", path.display().to_string())],
            Self::OtherKind { path, found, wanted } => {
                vec![("path", path.display().to_string()), ("found", found.to_string()), ("wanted", wanted.to_string())]
            }
            Self::CopyDiffers { what } | Self::Damaged { what } => vec![("what", what.clone())],
            Self::NewerFormat { found, known } => vec![("found", found.to_string()), ("known", known.to_string())],
            Self::TooLong { bytes, bytes_max, .. } => {
                vec![("bytes", bytes.to_string()), ("bytes_max", bytes_max.to_string())]
            }
            Self::ReservedKey { key } => vec![("key", key.clone())],
        }
    }
}
