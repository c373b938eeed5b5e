//! Who is measured, and how to get their store. Must not know what is measured.

use crate::ours::Comptoir;
use crate::shop::{Product, Till};
use crate::theirs::Sqlite;
use std::path::{Path, PathBuf};

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Comptoir,
    Sqlite,
}

/// Both, ours first.
pub(crate) const SIDES: [Side; 2] = [Side::Comptoir, Side::Sqlite];

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Comptoir => "comptoir",
            Self::Sqlite => "sqlite",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        SIDES.into_iter().find(|side| side.name() == name)
    }

    /// Its store's folder in the one given.
    pub(crate) fn folder(self, parent: &Path) -> PathBuf {
        parent.join(self.name())
    }

    pub(crate) fn load(self, dir: &Path, products: &[Product]) {
        match self {
            Self::Comptoir => Comptoir::load(dir, products),
            Self::Sqlite => Sqlite::load(dir, products),
        }
    }

    pub(crate) fn open(self, dir: &Path) -> Box<dyn Till> {
        match self {
            Self::Comptoir => Box::new(Comptoir::open(dir)),
            Self::Sqlite => Box::new(Sqlite::open(dir)),
        }
    }
}
