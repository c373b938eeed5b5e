//! What the message of a change says: the transaction it belongs to and a label. Must not know who reads it.
//!
//! Form: the label as it is. In front of it, where the change is a part of a transaction over several records, stand
//! U+0001 and the transaction's id in 11 characters of base64 (RFC 4648, URL-safe, no padding). No label begins so: it has
//! no control characters.

use crate::id::{LABEL_BYTES_MAX, Label, RecordId, TransactionId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const MARK: char = '\u{1}';
const ID_CHARS: usize = 11;

/// A change's message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The transaction over several records that the change is a part of.
    pub transaction: Option<TransactionId>,
    /// What was done.
    pub label: Option<Label>,
}

impl Message {
    /// What the change of one of a transaction's records says: to take the transaction back is not to take back what
    /// Comptoir keeps for itself.
    pub fn of(&self, record: &RecordId) -> Self {
        let transaction = self.transaction.filter(|_| !record.collection.is_reserved());
        Self { transaction, label: self.label.clone() }
    }

    /// Its written form.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        if let Some(id) = &self.transaction {
            out.push(MARK);
            URL_SAFE_NO_PAD.encode_string(id.0, &mut out);
        }
        out.push_str(self.label.as_ref().map_or("", Label::as_str));
        out
    }

    /// What a message says, whoever wrote it: control characters are left out of the label, and what is too long is cut.
    pub fn parse(text: &str) -> Self {
        let id = text.strip_prefix(MARK).and_then(|rest| rest.split_at_checked(ID_CHARS));
        let (transaction, label) = match id.and_then(|(id, label)| Some((read_id(id)?, label))) {
            Some((id, label)) => (Some(id), label),
            None => (None, text),
        };
        Self { transaction, label: lenient(label) }
    }
}

fn read_id(text: &str) -> Option<TransactionId> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(TransactionId)
}

fn lenient(text: &str) -> Option<Label> {
    let mut label = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if label.len() + c.len_utf8() > LABEL_BYTES_MAX {
            break;
        }
        label.push(c);
    }
    Label::new(&label).ok()
}
