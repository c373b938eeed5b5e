//! What a record holds, with or without its history. Must not know how either is edited.

use super::{Document, DocumentFault, Registers};
use crate::record::shape::Shape;
use crate::record::view::View;
use std::borrow::Cow;

/// A record in work: its document, or the registers that were enough for an edit.
#[derive(Clone)]
pub enum Contents {
    /// All of it.
    Document(Box<Document>),
    /// What its plain fields hold.
    Registers(Registers),
}

impl From<Document> for Contents {
    fn from(document: Document) -> Self {
        Self::Document(Box::new(document))
    }
}

impl Contents {
    /// The record as people read it under a schema.
    pub fn view(&self, shape: &Shape) -> View {
        match self {
            Self::Document(document) => document.view(shape),
            Self::Registers(registers) => registers.view(shape),
        }
    }

    /// Whether any field has several concurrent values, merge rules aside. Registers have one each.
    pub fn has_conflicts(&self) -> Result<bool, DocumentFault> {
        match self {
            Self::Document(document) => document.has_conflicts(),
            Self::Registers(_) => Ok(false),
        }
    }

    /// The record's registers; `None` where it has more than they can hold.
    pub fn registers(&self) -> Option<Cow<'_, Registers>> {
        match self {
            Self::Document(document) => document.registers().map(Cow::Owned),
            Self::Registers(registers) => Some(Cow::Borrowed(registers)),
        }
    }
}
