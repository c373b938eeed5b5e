//! Carries out what was planned: edits and everything that goes wrong. Must not know what comes of it.

use super::driver::{Driver, name};
use super::town::{Ask, Backup, Desk, Doom, RELAY, held, io};
use crate::fault::Fault;
use crate::oracle::HEAL_MS;
use crate::plan::{Action, SESSIONS_SAFETY_MS};
use comptoir::State;
use comptoir_engine::disk::sim::SimDisk;
use rand::RngExt as _;

/// The most devices, copies included.
const TILLS_MAX: usize = 8;
/// A process that is to die at some call of its disk dies after this time at the latest, in milliseconds.
const DOOM_MS: u64 = 3_000;
/// It dies at one of the next so many calls.
const DOOM_CALLS: u64 = 40;

impl Driver {
    pub(super) fn act(&mut self, action: Action) {
        let tills = held(&self.town).desks.len();
        if !matches!(action, Action::Edit { .. }) {
            held(&self.town).note(10, 0, format!("{action:?}").as_bytes(), || format!("** {action:?}"));
        }
        match action {
            Action::Edit { device, edit } => {
                let mut town = held(&self.town);
                town.edits += 1;
                let ask = Ask::Edit(edit, town.edits.to_string());
                // A device that is down makes no edits.
                let _ = town.desks[device % tills].inbox.as_ref().map(|inbox| inbox.try_send(ask));
            }
            Action::Cut { device } => self.cut(device % tills),
            Action::Partition { device, for_ms } => self.partition(device % tills, for_ms),
            Action::HalfOpen { device } => self.half_open(device % tills),
            Action::Slow { device, for_ms } => self.slow(device % tills, for_ms),
            Action::Skew { device, by_ms } => {
                let mut town = held(&self.town);
                town.desks[device % tills].skew_ms += by_ms;
                town.count(Fault::ClockSkew);
            }
            Action::Crash { device, power, keep, down_ms } => {
                self.doom(Some(device % tills), power, keep, down_ms);
            }
            Action::Fill { device, for_ms } => self.fill(Some(device % tills), for_ms),
            Action::FailFlush { device, keep } => self.fail(Some(device % tills), None, keep),
            Action::FailCall { device, after, keep } => self.fail(Some(device % tills), Some(after), keep),
            Action::Backup { device } => self.back_up(device % tills),
            Action::Restore { device, seen } => self.restore(device % tills, seen),
            Action::Clone { device } => self.clone_till(device % tills),
            Action::Revoke { device } => {
                // Its token was made to end now.
                let mut town = held(&self.town);
                let status = town.desks[device % tills].status();
                if status.is_some_and(|status| status.engine.state == State::UpToDate) {
                    town.count(Fault::TokenRevoked);
                }
            }
            Action::Renew { device } => self.renew(device % tills),
            Action::RelayCrash { power, keep, down_ms, silent } => self.doom(None, power || silent, keep, down_ms),
            Action::RelayFill { for_ms } => self.fill(None, for_ms),
            Action::RelayFailFlush { keep } => self.fail(None, None, keep),
            Action::RelayFailCall { after, keep } => self.fail(None, Some(after), keep),
            Action::RelayBackup => {
                let mut town = held(&self.town);
                town.office.backup = Some(town.office.drive.disk.snapshot());
            }
            Action::RelayRestore { down_ms } => {
                let backup = held(&self.town).office.backup.take();
                if let Some(disk) = backup {
                    self.replace_relay(Fault::RelayRestored, disk, down_ms);
                }
            }
            Action::RelayWipe { down_ms } => self.replace_relay(Fault::RelayWiped, SimDisk::new(), down_ms),
            Action::RelaySwitch { down_ms } => self.switch_relay(down_ms),
            // Below a WebSocket no attempt to connect arrives twice.
            Action::ConnectTwice { .. } => {}
        }
    }

    /// The connection is reset, and what is under way on it is gone.
    fn cut(&mut self, number: usize) {
        let conn = held(&self.town).desks[number].conn.clone().filter(|conn| conn.is_open());
        let Some(conn) = conn else { return };
        self.lose(number);
        conn.reset();
        held(&self.town).count(Fault::Loss);
    }

    /// What is under way between a device and the relay is gone.
    fn lose(&mut self, number: usize) {
        self.sim.partition(name(number), RELAY);
        self.sim.repair(name(number), RELAY);
        if held(&self.town).desks[number].held_until_ms > self.now_ms {
            self.sim.hold(name(number), RELAY);
        }
    }

    /// Nothing gets through for a while; then the systems on both sides repeat what was lost.
    fn partition(&mut self, number: usize, for_ms: u64) {
        self.sim.hold(name(number), RELAY);
        let mut town = held(&self.town);
        town.count(Fault::Partition);
        let until_ms = (self.now_ms + for_ms).min(SESSIONS_SAFETY_MS);
        let desk = &mut town.desks[number];
        desk.held_until_ms = desk.held_until_ms.max(until_ms);
    }

    fn half_open(&mut self, number: usize) {
        let mut town = held(&self.town);
        if let Some(conn) = town.desks[number].conn.clone().filter(|conn| conn.is_open()) {
            conn.kill();
            town.count(Fault::HalfOpen);
        }
    }

    fn slow(&mut self, number: usize, for_ms: u64) {
        let mut town = held(&self.town);
        let desk = &mut town.desks[number];
        desk.slow_until_ms = desk.slow_until_ms.max((self.now_ms + for_ms).min(SESSIONS_SAFETY_MS));
        desk.conn.iter().for_each(|conn| conn.slow(true));
    }

    fn fill(&mut self, device: Option<usize>, for_ms: u64) {
        let mut town = held(&self.town);
        let until_ms = (self.now_ms + for_ms).min(SESSIONS_SAFETY_MS);
        let drive = town.drive(device);
        drive.full_until_ms = drive.full_until_ms.max(until_ms);
        drive.disk.fill(true);
        town.count(Fault::FullDisk);
    }

    /// A flush fails, or a call after so many others.
    fn fail(&mut self, device: Option<usize>, after: Option<u64>, keep: usize) {
        let mut town = held(&self.town);
        let drive = town.drive(device);
        drive.cut_with_failure = Some(keep).filter(|keep| *keep < 2);
        match after {
            None => drive.disk.fail_flush(0, io()),
            Some(calls) => drive.disk.fail_next(calls, io()),
        }
        town.count(if after.is_none() { Fault::FailedFlush } else { Fault::FailedCall });
    }

    /// A process dies: at once, or in the middle of what it does next with its disk.
    fn doom(&mut self, device: Option<usize>, power: bool, keep: usize, down_ms: u64) {
        let later = self.rng.random_bool(0.5);
        let calls = self.rng.random_range(0..DOOM_CALLS);
        let doom = Doom { until_ms: self.now_ms + DOOM_MS, power, keep, down_ms };
        if !later || doom.until_ms >= SESSIONS_SAFETY_MS {
            return self.crash(device, doom);
        }
        let mut town = held(&self.town);
        let drive = town.drive(device);
        drive.doom = Some(doom);
        drive.disk.fail_next(calls, io());
    }

    /// A process is gone. Killed, its system ends the connections, but may have lost what the process said last; without
    /// power, nobody is told anything.
    fn crash(&mut self, device: Option<usize>, doom: Doom) {
        let silent = doom.power || self.rng.random_bool(0.3);
        let tills = held(&self.town).desks.len();
        let links = match device {
            Some(number) => number..number + 1,
            None => 0..tills,
        };
        if silent {
            links.clone().for_each(|number| self.sim.partition(name(number), RELAY));
        }
        self.restart(device, doom.down_ms);
        if silent {
            links.for_each(|number| self.lose(number));
        }
        let mut town = held(&self.town);
        let drive = town.drive(device);
        (drive.doom, drive.cut_with_failure) = (None, None);
        let mut lost = 0;
        match doom.power {
            true => lost = drive.disk.crash(doom.keep),
            false => drive.disk.reopen(),
        }
        if lost > 0 {
            town.count(Fault::LostUnflushed);
        }
        town.count(match (device, doom.power) {
            (Some(_), true) => Fault::DevicePowerCut,
            (Some(_), false) => Fault::DeviceKilled,
            (None, true) => Fault::RelayPowerCut,
            (None, false) => Fault::RelayKilled,
        });
    }

    /// Ends a process and begins another, which waits until it is time.
    fn restart(&mut self, device: Option<usize>, down_ms: u64) {
        {
            let mut town = held(&self.town);
            town.note(12, device.map_or(0, |number| number + 1), &[], || format!("the process of {device:?} ends"));
            town.drive(device).down_until_ms = (self.now_ms + down_ms).min(SESSIONS_SAFETY_MS);
            if let Some(number) = device {
                town.desks[number].close();
            }
        }
        self.sim.bounce(device.map_or(RELAY.to_owned(), name));
    }

    fn back_up(&mut self, number: usize) {
        let mut town = held(&self.town);
        let desk = &mut town.desks[number];
        let (disk, sheets, issued) = (desk.drive.disk.snapshot(), desk.sheets.clone(), desk.issued.len());
        desk.backup = Some(Backup { disk, sheets, issued });
    }

    /// The disk kept aside comes in the place of the present one.
    fn restore(&mut self, number: usize, seen: bool) {
        let Some(backup) = held(&self.town).desks[number].backup.take() else { return };
        self.restart(Some(number), 0);
        let mut town = held(&self.town);
        town.count(if seen { Fault::DeviceRestored } else { Fault::DeviceRolledBack });
        town.rolled_back |= !seen;
        town.compared = true;
        town.grow_lenient();
        let desk = &mut town.desks[number];
        desk.drive.replace(backup.disk);
        desk.sheets = backup.sheets;
        if seen {
            desk.drive.marker.push('+');
            return;
        }
        let forgiven = desk.issued.split_off(backup.issued.min(desk.issued.len()));
        town.forgiven.extend(forgiven);
    }

    /// A new device with a copy of this one's disk.
    fn clone_till(&mut self, number: usize) {
        let copy = {
            let mut town = held(&self.town);
            let tills = town.desks.len();
            if tills >= TILLS_MAX {
                return;
            }
            town.count(Fault::DeviceCloned);
            town.compared = true;
            let mut copy = Desk::new(tills);
            copy.drive.disk = town.desks[number].drive.disk.snapshot();
            copy.sheets = town.desks[number].sheets.clone();
            copy
        };
        self.add(copy);
    }

    /// The device gets a new token.
    fn renew(&mut self, number: usize) {
        let mut town = held(&self.town);
        if town.desks[number].token_until_ms > self.now_ms {
            return;
        }
        town.issue(number);
        // A device that is down finds it when it starts.
        let _ = town.desks[number].inbox.as_ref().map(|inbox| inbox.try_send(Ask::Renew));
    }

    fn replace_relay(&mut self, fault: Fault, disk: SimDisk, down_ms: u64) {
        self.restart(None, down_ms);
        let mut town = held(&self.town);
        town.count(fault);
        (town.relay_forgot, town.compared) = (true, true);
        town.grow_lenient();
        town.office.drive.replace(disk);
        town.office.drive.marker.push('+');
        town.office.ledger.forget();
    }

    /// The other relay takes over, with its own disk.
    fn switch_relay(&mut self, down_ms: u64) {
        let (before, marker) = {
            let town = held(&self.town);
            (town.office.drive.disk.clone(), town.office.drive.marker.clone())
        };
        let spare = held(&self.town).office.spare.replace((before, marker));
        let (disk, marker) = spare.unwrap_or((SimDisk::new(), "the other drive".to_owned()));
        self.replace_relay(Fault::RelaySwitched, disk, down_ms);
        held(&self.town).office.drive.marker = marker;
    }

    /// Ends what was for a while, and processes whose time has come.
    pub(super) fn see_to(&mut self) {
        let tills = held(&self.town).desks.len();
        for device in std::iter::once(None).chain((0..tills).map(Some)) {
            let mut town = held(&self.town);
            let now_ms = self.now_ms;
            let drive = town.drive(device);
            if (1..=now_ms).contains(&drive.full_until_ms) {
                drive.full_until_ms = 0;
                drive.disk.fill(false);
            }
            let doom = drive.doom.filter(|doom| doom.until_ms <= now_ms || drive.disk.is_poisoned());
            if let Some(number) = device {
                self.see_to_desk(town, number);
            } else {
                drop(town);
            }
            if let Some(doom) = doom {
                self.crash(device, doom);
            }
        }
    }

    fn see_to_desk(&self, mut town: std::sync::MutexGuard<'_, super::town::Town>, number: usize) {
        let desk = &mut town.desks[number];
        let waited = desk.conn.as_ref().map_or(0, |conn| conn.take_waited());
        if (1..=self.now_ms).contains(&desk.slow_until_ms) {
            desk.slow_until_ms = 0;
            desk.conn.iter().for_each(|conn| conn.slow(false));
        }
        if (1..=self.now_ms).contains(&desk.held_until_ms) {
            desk.held_until_ms = 0;
            self.sim.release(name(number), RELAY);
        }
        (0..waited).for_each(|_| town.count(Fault::SlowFollower));
    }

    /// No more faults. What is dead is found out as always.
    pub(super) fn end_faults(&mut self) {
        self.healing = true;
        self.see_to();
        let tills = held(&self.town).desks.len();
        held(&self.town).note(13, 0, &[], || "** no more faults".to_owned());
        for device in std::iter::once(None).chain((0..tills).map(Some)) {
            held(&self.town).drive(device).disk.forgive();
        }
        for number in 0..tills {
            // A token that ends while everything comes together is no fault that heals.
            held(&self.town).desks[number].revoked_ms.retain(|at_ms| *at_ms > SESSIONS_SAFETY_MS + HEAL_MS);
            self.renew(number);
        }
    }
}
