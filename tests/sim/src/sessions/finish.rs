//! The end of a run: faults stop, time goes on, and everything has to come together. Must not inject anything.

use super::driver::Driver;
use super::town::{Ask, Town, held};
use crate::oracle::{HEAL_MS, Kind, Violation, broken};
use crate::plan::SESSIONS_SAFETY_MS;
use crate::till::Sheets;
use comptoir::State;

/// A device reads everything within this time, in milliseconds, also when its disk fails meanwhile.
const READ_MS: u64 = 5_000;
/// And is asked to so often, in milliseconds.
const ASK_MS: u64 = 500;
/// In one of so many seeds it is looked for connections that are lost although nothing is wrong,
const QUIET_SEEDS: u64 = 8;
/// for so long, in milliseconds.
const QUIET_MS: u64 = 12_000;

impl Driver {
    /// No more faults. What is dead is found out as always.
    pub(super) fn heal(&mut self) -> Result<(), Violation> {
        self.end_faults();
        loop {
            self.wait_until_healed()?;
            let digest = held(&self.town).office.ledger.sheets().1;
            self.read()?;
            let mut town = held(&self.town);
            // An edit that was asked for before the end may be saved after it: then all of this begins again.
            if is_healed(&town) && town.office.ledger.sheets().1 == digest {
                compare(&mut town)?;
                break;
            }
            town.desks.iter_mut().for_each(|desk| desk.views = None);
        }
        match self.plan.seed.is_multiple_of(QUIET_SEEDS) {
            true => self.rest(),
            false => Ok(()),
        }
    }

    fn wait_until_healed(&mut self) -> Result<(), Violation> {
        while !is_healed(&held(&self.town)) {
            if self.now_ms > SESSIONS_SAFETY_MS + HEAL_MS {
                return wedged(&held(&self.town));
            }
            self.step()?;
        }
        Ok(())
    }

    /// With nothing to do and nothing wrong, nobody loses a connection.
    fn rest(&mut self) -> Result<(), Violation> {
        while self.now_ms < SESSIONS_SAFETY_MS + HEAL_MS {
            self.step()?;
        }
        let since = |driver: &Self| -> Vec<_> {
            held(&driver.town).desks.iter().map(|desk| (desk.up_to_date_ms, desk.status().map(state))).collect()
        };
        let before = since(self);
        if before.iter().any(|(_, state)| *state != Some(State::UpToDate)) {
            return wedged(&held(&self.town));
        }
        while self.now_ms < SESSIONS_SAFETY_MS + HEAL_MS + QUIET_MS {
            self.step()?;
            if let Some(number) = since(self).iter().zip(&before).position(|(now, before)| now != before) {
                return broken(Kind::Wedged, format!("till {number} lost a connection that nothing was wrong with"));
            }
        }
        Ok(())
    }

    /// Notes when each was up to date, and has each device read everything.
    fn read(&mut self) -> Result<(), Violation> {
        {
            let mut town = held(&self.town);
            let since = |up_to_date_ms: Option<u64>| up_to_date_ms.unwrap_or(0).saturating_sub(SESSIONS_SAFETY_MS);
            let healed_ms = town.desks.iter().map(|desk| since(desk.up_to_date_ms)).collect();
            town.outcome.healed_ms = healed_ms;
        }
        let until_ms = self.now_ms + READ_MS;
        while held(&self.town).desks.iter().any(|desk| desk.views.is_none()) {
            if self.now_ms > until_ms {
                return broken(Kind::Wedged, "a device does not answer its app");
            }
            if self.now_ms.is_multiple_of(ASK_MS) {
                // A disk may fail while it is read: then the app asks again.
                for desk in held(&self.town).desks.iter().filter(|desk| desk.views.is_none()) {
                    let _ = desk.inbox.as_ref().map(|inbox| inbox.try_send(Ask::Read));
                }
            }
            self.step()?;
        }
        Ok(())
    }
}

fn state(status: comptoir::Status) -> State {
    status.engine.state
}

fn is_healed(town: &Town) -> bool {
    let digest = town.office.ledger.sheets().1;
    town.desks.iter().all(|desk| {
        let equal = |status: comptoir::Status| status.engine.state == State::UpToDate && status.engine.digest == digest;
        desk.up_to_date_ms.is_some() && desk.status().is_some_and(equal)
    })
}

fn wedged(town: &Town) -> Result<(), Violation> {
    let mut found = Vec::new();
    for (number, desk) in town.desks.iter().enumerate() {
        let Some(status) = desk.status() else {
            found.push(format!("till {number} is closed"));
            continue;
        };
        let (state, pending, error) = (status.engine.state, status.engine.pending, status.engine.error);
        found.push(format!("till {number}: {state:?}, {pending} pending, {}", error.unwrap_or_default()));
    }
    broken(Kind::Wedged, format!("time is up; {}", found.join("; ")))
}

/// All is equal, and nothing that was held when the faults ended is missing.
fn compare(town: &mut Town) -> Result<(), Violation> {
    let (relay, digest) = town.office.ledger.sheets();
    let relay: Sheets = relay.clone();
    town.outcome.counted_twice = relay.values().any(|sheet| sheet.check("").is_err());
    for (number, desk) in town.desks.iter().enumerate() {
        let Some(status) = desk.status() else { continue };
        if status.engine.pending > 0 || status.engine.digest != digest {
            let what = format!("till {number} has another digest, or {} pending", status.engine.pending);
            return broken(Kind::Diverged, what);
        }
        for (record, sheet) in &relay {
            if let Some(mark) = sheet.missing_in(desk.sheets.get(record)) {
                return broken(Kind::AckedLost, format!("edit {mark} of {record} did not come to till {number}"));
            }
        }
        for (record, sheet) in &desk.sheets {
            if let Some(mark) = sheet.missing_in(relay.get(record)) {
                return broken(Kind::AckedLost, format!("edit {mark} of {record} did not come to the relay"));
            }
        }
        if desk.views != town.desks[0].views {
            return broken(Kind::Diverged, format!("till {number} shows other records than till 0"));
        }
    }
    town.note(14, 0, &digest.0, || "all is equal".to_owned());
    Ok(())
}
