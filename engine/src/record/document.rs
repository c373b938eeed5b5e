//! One record's Automerge document: load, edit, merge, save. Must not know storage, the wire or JSON.

mod conflict;
mod contents;
mod founded;
mod guard;
mod history;
mod map;
mod past;
mod read;
mod reauthor;
mod registers;
mod resolve;
mod write;

pub use contents::Contents;
pub use guard::quiet_panics;
pub use history::{HISTORY_CHANGES_MAX, HistoryPage};
pub(crate) use reauthor::reauthor;
pub use registers::{Following, Place, Registers, StoredRegisters};

use super::field::{EditError, FieldEdit};
use super::shape::{Print, Shape};
use super::view::View;
use crate::change::{Change, ChangeFault};
use crate::id::{ActorId, ChangeHash, DocumentId};
use automerge::VerificationMode::DontCheck;
use automerge::{Automerge, LoadOptions, ReadDoc};
use founded::Foundations;
use guard::guarded;

/// A document that is not what it should be. Foreign changes meet it only on a copy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentFault {
    /// Its bytes cannot be loaded.
    #[error("the document cannot be loaded: {cause}")]
    Load {
        /// Automerge's words.
        cause: String,
    },
    /// The changes cannot be applied, or the result cannot be saved and loaded again.
    #[error("the changes break the document: {cause}")]
    Apply {
        /// What failed.
        cause: String,
    },
    /// Its history cannot be read.
    #[error("the document's history cannot be read: {cause}")]
    Read {
        /// What failed.
        cause: String,
    },
}

/// A loaded document.
#[derive(Clone)]
pub struct Document {
    id: DocumentId,
    doc: Automerge,
    /// Its snapshot, where that was loaded and compared already.
    saved: Option<Vec<u8>>,
    /// What the last edit or merge found that its shape keeps.
    kept: Option<(Print, resolve::Kept)>,
}

impl Document {
    /// A document without changes.
    pub fn empty(id: DocumentId) -> Self {
        Self { id, doc: Automerge::new(), saved: None, kept: None }
    }

    /// The document of a snapshot (or none) and the changes made since, all of them admitted before.
    pub fn load<'a>(
        id: DocumentId,
        snapshot: &[u8],
        tail: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, DocumentFault> {
        let changes = tail.into_iter().map(foreign).collect::<Result<Vec<_>, _>>()?;
        guarded(|| {
            let mut doc = match snapshot {
                [] => Automerge::new(),
                // It was loaded with all checks before it was stored, and the row it comes from has a checksum.
                bytes => Automerge::load_with_options(bytes, LoadOptions::new().verification_mode(DontCheck))
                    .map_err(|cause| cause.to_string())?,
            };
            doc.apply_changes(changes).map_err(|cause| cause.to_string())?;
            Ok(Self { id, doc, saved: None, kept: None })
        })
        .map_err(|cause| DocumentFault::Load { cause })
    }

    /// Applies admitted changes on a copy, saves it, loads it, and compares; only then are they part of the document.
    /// `heads` are those the document must have afterwards, sorted; `shape` is what it will be viewed by.
    pub fn merge(&mut self, changes: &[Change], heads: &[ChangeHash], shape: &Shape) -> Result<(), DocumentFault> {
        let changes = changes.iter().map(|change| foreign(change.bytes())).collect::<Result<Vec<_>, _>>()?;
        let copy = self.doc.clone();
        let tried = guarded(move || {
            let mut copy = copy;
            let mut foundations = Foundations::of(&copy);
            if !changes.iter().all(|change| foundations.carry(change)) {
                return Err("an op refers to one that its change does not follow".to_owned());
            }
            copy.apply_changes(changes).map_err(|cause| cause.to_string())?;
            let saved = copy.save();
            let loaded = Automerge::load(&saved).map_err(|cause| cause.to_string())?;
            match sorted_heads(&loaded) == heads && sorted_heads(&copy) == heads {
                true => {
                    let kept = resolve::kept(&loaded, &loaded, shape);
                    read::view(&loaded, kept.clone(), shape);
                    Ok((loaded, saved, kept))
                }
                false => Err("the result has other heads than the changes give".to_owned()),
            }
        });
        let (doc, saved, kept) = tried.map_err(|cause| DocumentFault::Apply { cause })?;
        (self.doc, self.saved) = (doc, Some(saved));
        self.kept = Some((shape.print(), kept));
        Ok(())
    }

    /// The document after `edits`, which must fit `shape`, and the changes they made: none when nothing changed, derived
    /// ones first. `message` is what the ordinary one carries.
    pub fn edit(
        self,
        actor: &ActorId,
        time_s: i64,
        message: &str,
        edits: &[FieldEdit],
        shape: &Shape,
    ) -> Result<(Self, Vec<Change>), EditError> {
        let document = Self { saved: None, ..self };
        match &*shape.fit(edits)? {
            [FieldEdit::Import(fields)] if document.doc.is_empty() => write::import(document, fields, shape),
            edits => write::edit(document, actor, time_s, message, edits, shape),
        }
    }

    /// The fields that taking `change` back would leave as they are: somebody has changed them since, or `except` names
    /// them.
    pub fn left_by_undo(&self, change: ChangeHash, except: &[String]) -> Result<Vec<String>, EditError> {
        write::left(&self.doc, change, except)
    }

    /// Takes from a whole view, made of this document under `shape`, what it would have to look for in its history.
    pub fn recall(&mut self, shape: &Shape, view: &View) {
        self.kept = resolve::kept_shown(&self.doc, shape, view).map(|kept| (shape.print(), kept));
    }

    fn kept(&self, shape: &Shape) -> resolve::Kept {
        let known = self.kept.as_ref().filter(|(print, _)| *print == shape.print());
        known.map_or_else(|| resolve::kept(&self.doc, &self.doc, shape), |(_, kept)| kept.clone())
    }

    /// The record as people read it under a schema.
    pub fn view(&self, shape: &Shape) -> View {
        read::view(&self.doc, self.kept(shape), shape)
    }

    /// The whole history in Automerge's compressed form, after loading it again and comparing heads.
    pub fn snapshot(&self) -> Result<Vec<u8>, DocumentFault> {
        if let Some(saved) = &self.saved {
            return Ok(saved.clone());
        }
        let bytes = self.doc.save();
        let loaded = guarded(|| Automerge::load(&bytes).map_err(|cause| cause.to_string()));
        let loaded = loaded.map_err(|cause| DocumentFault::Load { cause })?;
        match sorted_heads(&loaded) == sorted_heads(&self.doc) {
            true => Ok(bytes),
            false => Err(DocumentFault::Load { cause: "its snapshot has other heads".to_owned() }),
        }
    }

    /// The changes that no other follows, sorted.
    pub fn heads(&self) -> Vec<ChangeHash> {
        sorted_heads(&self.doc)
    }

    /// All changes, each behind those it follows.
    pub fn changes(&self) -> Result<Vec<Change>, ChangeFault> {
        self.doc.get_changes(&[]).iter().map(|change| Change::parse(change.raw_bytes())).collect()
    }
}

/// What `at`, the document or as it was at some of its changes, shows under a schema.
fn view_of(doc: &Automerge, at: &impl ReadDoc, shape: &Shape) -> View {
    read::view(at, resolve::kept(doc, at, shape), shape)
}

fn sorted_heads(doc: &Automerge) -> Vec<ChangeHash> {
    let mut heads: Vec<_> = doc.get_heads().iter().map(|head| ChangeHash(head.0)).collect();
    heads.sort_unstable();
    heads
}

fn foreign(bytes: &[u8]) -> Result<automerge::Change, DocumentFault> {
    guarded(|| automerge::Change::try_from(bytes).map_err(|cause| cause.to_string()))
        .map_err(|cause| DocumentFault::Apply { cause })
}
