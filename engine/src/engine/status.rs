//! How things stand between store and session: what is said of it, and what it is said on the ground of. Must not change anything.

use super::Engine;
use crate::digest::Digest;
use crate::event::{State, Status};
use crate::session::Mode;

impl Engine {
    /// How things stand.
    pub fn status(&self) -> Status {
        let (state, error) = self.state();
        Status {
            state,
            last_sync: self.store.last_sync(),
            in_progress: self.session.is_connected() && state == State::Syncing,
            error,
            total_records: self.store.records(),
            pending: self.store.pending(),
            quarantined: self.store.quarantined(),
            digest: self.store.digest(),
        }
    }

    fn state(&self) -> (State, Option<String>) {
        let error = self.session.error().map(str::to_owned);
        let quarantined = self.store.quarantined();
        if self.is_up_to_date() {
            return (State::UpToDate, None);
        }
        if quarantined > 0 {
            let aside = format!(
                "{quarantined} changes were set aside, everything else was exchanged: see `comptoir quarantine list`"
            );
            return (State::Error, Some(error.unwrap_or(aside)));
        }
        if self.session.is_live() {
            let reads_only = self.store.pending() > 0 && !self.session.sends();
            return match () {
                _ if self.session.has_reconciled() && self.differs() && self.session.is_narrow() => {
                    let lacks =
                        "the relay lacks records that this token may not write: a device that may brings them back";
                    (State::Error, Some(lacks.to_owned()))
                }
                _ if self.session.has_reconciled() && self.differs() => {
                    let differs = "relay and device hold different data although all was exchanged: report this";
                    (State::Error, Some(differs.to_owned()))
                }
                _ if reads_only && self.session.mode() == Mode::Pull => (State::Pending, error),
                _ if reads_only => (State::Error, Some("the token may read but not write: ask for another".to_owned())),
                _ => (State::Syncing, error),
            };
        }
        match () {
            _ if self.session.is_connected() && error.is_none() => (State::Syncing, error),
            _ if self.session.needs_attention() => (State::Error, error),
            _ => (State::Offline, error),
        }
    }

    /// Nothing waits, the cursor is at the tail, and the relay has the same digest there.
    pub(super) fn is_up_to_date(&self) -> bool {
        if planted!(OutboxIgnored) {
            return self.session.is_live() && self.session.confirmed().is_some();
        }
        let equal = |(_, digest)| digest == self.digest() || planted!(DigestUnchecked);
        // What was refused where nothing is shown is in no digest that is compared.
        let whole = self.session.readable().is_none() || self.store.quarantined() == 0;
        whole && self.is_settled() && self.session.confirmed().is_some_and(equal)
    }

    /// Nothing waits and the cursor is at the tail, but the relay has another digest there.
    pub(super) fn differs(&self) -> bool {
        self.is_settled() && self.session.confirmed().is_some_and(|(_, digest)| digest != self.digest())
    }

    /// The digest of what the relay shows this session.
    fn digest(&self) -> Digest {
        self.store.digest_of(|collection| self.session.may_read(collection))
    }

    fn is_settled(&self) -> bool {
        let at_tail = match (self.session.confirmed(), self.store.cursor()) {
            (Some((seq, _)), Some(cursor)) => seq == cursor.through && cursor.epoch == self.session.epoch(),
            (Some((seq, _)), None) => seq.0 == 0,
            (None, _) => false,
        };
        at_tail && self.session.is_live() && self.store.is_outbox_empty() && !self.session.is_pushing()
    }

    /// Whether the session has done all that its mode asks for, as of now.
    pub fn is_done(&self) -> bool {
        if !self.session.is_live() || self.session.is_reconciling() {
            return false;
        }
        let sent = !self.session.sends() || (self.store.is_outbox_empty() && !self.session.is_pushing());
        let differs_for_good = self.session.has_reconciled() || self.store.quarantined() > 0;
        let received = self.session.confirmed().is_some() && (!self.differs() || differs_for_good);
        match self.session.mode() {
            Mode::Push => sent,
            Mode::Pull => received,
            Mode::Both => sent && received,
        }
    }
}
