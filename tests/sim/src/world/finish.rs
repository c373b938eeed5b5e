//! The end of a run: faults stop, time goes on, and everything has to come together. Must not inject anything.

use super::World;
use crate::oracle::{EXCHANGE_MS, HEAL_MS, Kind, Violation, broken};
use crate::plan::SAFETY_MS;
use crate::till::Sheets;
use comptoir_engine::store::StoreError;

impl World {
    /// No more faults. What is dead is found out as always.
    pub(super) fn heal(&mut self) -> Result<(), Violation> {
        self.note(13, 0, &[], || "** no more faults".to_owned());
        self.healing = true;
        self.post.full = false;
        self.post.disk.fill(false);
        for till in 0..self.tills.len() {
            let device = &mut self.tills[till];
            device.partition_until_ms = device.partition_until_ms.min(self.now_ms);
            device.slow_until_ms = 0;
            device.full = false;
            device.disk.fill(false);
            self.renew(till)?;
        }
        Ok(())
    }

    pub(super) fn is_healed(&self) -> bool {
        self.post.is_open() && self.post.queue.is_empty() && self.tills.iter().all(|till| till.was_up_to_date) && {
            let digest = self.post.ledger.sheets().1;
            let equal =
                |till: &crate::till::Till| till.engine.as_ref().is_some_and(|engine| engine.status().digest == digest);
            self.tills.iter().all(equal)
        }
    }

    /// Whether a device has had its time: all in all, or since it was connected.
    pub(super) fn is_late(&self) -> bool {
        let late = |till: &crate::till::Till| {
            let begun_ms = till.live_since_ms.map(|since_ms| since_ms.max(SAFETY_MS));
            !till.was_up_to_date
                && begun_ms.is_some_and(|begun_ms| self.now_ms > begun_ms + EXCHANGE_MS)
                && till.conn.is_some_and(|conn| !self.conns[conn].dead)
        };
        self.now_ms > SAFETY_MS + HEAL_MS || self.tills.iter().any(late)
    }

    pub(super) fn wedged(&self, why: &str) -> Result<(), Violation> {
        let mut found = Vec::new();
        for till in &self.tills {
            let Some(engine) = &till.engine else {
                found.push(format!("till {} is closed", till.number));
                continue;
            };
            let status = engine.status();
            let error = status.error.unwrap_or_default();
            found.push(format!("till {}: {:?}, {} pending, {error}", till.number, status.state, status.pending));
        }
        broken(Kind::Wedged, format!("{why}; {}", found.join("; ")))
    }

    /// All is equal, and nothing that was held when the faults ended is missing.
    pub(super) fn finish(&mut self) -> Result<(), Violation> {
        let healed_ms = |till: &crate::till::Till| till.up_to_date_ms.saturating_sub(SAFETY_MS);
        self.outcome.healed_ms = self.tills.iter().map(healed_ms).collect();
        let (relay, digest) = self.post.ledger.sheets();
        let relay: Sheets = relay.clone();
        self.outcome.counted_twice = relay.values().any(|sheet| sheet.check("").is_err());
        let mut first = None;
        for number in 0..self.tills.len() {
            self.tills[number].check_all()?;
            self.check_whole(number)?;
            let till = &self.tills[number];
            let Some(engine) = &till.engine else { continue };
            let status = engine.status();
            if status.pending > 0 || status.digest != digest {
                return broken(
                    Kind::Diverged,
                    format!("till {number} has another digest, or {} pending", status.pending),
                );
            }
            // One is enough of what takes longest: every document loaded, and compared with what its row keeps of it.
            let checked = if number == 0 { engine.check().err() } else { None };
            if let Some(error @ StoreError::Damaged { .. }) = checked {
                return broken(Kind::Diverged, format!("till {number}: {error}"));
            }
            for (record, sheet) in &relay {
                if let Some(mark) = sheet.missing_in(till.sheets.get(record)) {
                    return broken(Kind::AckedLost, format!("edit {mark} of {record} did not come to till {number}"));
                }
            }
            for (record, sheet) in &till.sheets {
                if let Some(mark) = sheet.missing_in(relay.get(record)) {
                    return broken(Kind::AckedLost, format!("edit {mark} of {record} did not come to the relay"));
                }
            }
            let Some(views) = till.views()? else { continue };
            match &first {
                None => first = Some(views),
                Some(first) if *first != views => {
                    return broken(Kind::Diverged, format!("till {number} shows other records than till 0"));
                }
                Some(_) => {}
            }
        }
        self.note(14, 0, &digest.0, || "all is equal".to_owned());
        Ok(())
    }
}
