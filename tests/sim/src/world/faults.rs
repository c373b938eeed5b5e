//! Carries out what was planned: edits and everything that goes wrong. Must not know what comes of it.

use super::{Event, TILLS_MAX, World};
use crate::fault::Fault;
use crate::oracle::Violation;
use crate::plan::{Action, SAFETY_MS};
use comptoir_engine::Mode;
use comptoir_engine::disk::DiskError;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::session::SILENCE_MAX_MS;

const RELAY_REOPEN_MS: u64 = 100;

fn io() -> DiskError {
    DiskError::Io { doing: "simulating", cause: "a fault".to_owned() }
}

impl World {
    pub(super) fn act(&mut self, action: Action) -> Result<(), Violation> {
        if !matches!(action, Action::Edit { .. }) {
            self.note(10, 0, format!("{action:?}").as_bytes(), || format!("** {action:?}"));
        }
        match action {
            Action::Edit { device, edit } => self.edit(device % self.tills.len(), edit),
            Action::Cut { device } => self.cut(device % self.tills.len()),
            Action::Partition { device, for_ms } => self.partition(device % self.tills.len(), for_ms),
            Action::HalfOpen { device } => self.half_open(device % self.tills.len()),
            Action::Slow { device, for_ms } => {
                let till = device % self.tills.len();
                self.tills[till].slow_until_ms = self.now_ms + for_ms;
                Ok(())
            }
            Action::ConnectTwice { device } => {
                let till = device % self.tills.len();
                self.tills[till].connect_twice = true;
                Ok(())
            }
            Action::Skew { device, by_ms } => {
                let till = device % self.tills.len();
                self.tills[till].skew_ms += by_ms;
                self.count(Fault::ClockSkew);
                Ok(())
            }
            Action::Crash { device, power, keep, down_ms } => {
                self.crash(device % self.tills.len(), power, keep, down_ms);
                Ok(())
            }
            Action::Fill { device, for_ms } => {
                let till = device % self.tills.len();
                self.tills[till].full = true;
                self.tills[till].disk.fill(true);
                self.count(Fault::FullDisk);
                self.after(for_ms, Event::Room { till });
                Ok(())
            }
            Action::FailFlush { device, keep } => {
                let till = device % self.tills.len();
                self.tills[till].cut_with_failure = Some(keep).filter(|keep| *keep < 2);
                self.tills[till].disk.fail_flush(0, io());
                self.count(Fault::FailedFlush);
                Ok(())
            }
            Action::FailCall { device, after, keep } => {
                let till = device % self.tills.len();
                self.tills[till].cut_with_failure = Some(keep).filter(|keep| *keep < 2);
                self.tills[till].disk.fail_next(after, io());
                self.count(Fault::FailedCall);
                Ok(())
            }
            Action::Backup { device } => {
                let till = device % self.tills.len();
                self.tills[till].back_up();
                Ok(())
            }
            Action::Restore { device, seen } => self.restore(device % self.tills.len(), seen),
            Action::Clone { device } => self.clone_till(device % self.tills.len()),
            Action::Revoke { device } => {
                let token = self.tills[device % self.tills.len()].token.clone();
                self.tokens.remove(&token);
                self.drop_token(&token)
            }
            Action::Renew { device } => self.renew(device % self.tills.len()),
            _ => self.act_on_relay(action),
        }
    }

    fn act_on_relay(&mut self, action: Action) -> Result<(), Violation> {
        match action {
            Action::RelayCrash { power, keep, down_ms, silent } => self.crash_relay(power, keep, down_ms, silent),
            Action::RelayFill { for_ms } => {
                self.post.full = true;
                self.post.disk.fill(true);
                self.count(Fault::FullDisk);
                self.after(for_ms, Event::RelayRoom);
            }
            Action::RelayFailFlush { keep } => {
                self.post.cut_with_failure = Some(keep).filter(|keep| *keep < 2);
                self.post.disk.fail_flush(0, io());
                self.count(Fault::FailedFlush);
            }
            Action::RelayFailCall { after, keep } => {
                self.post.cut_with_failure = Some(keep).filter(|keep| *keep < 2);
                self.post.disk.fail_next(after, io());
                self.count(Fault::FailedCall);
            }
            Action::RelayBackup => self.post.backup = Some(self.post.disk.snapshot()),
            Action::RelayRestore { down_ms } => {
                if let Some(disk) = self.post.backup.take() {
                    self.count(Fault::RelayRestored);
                    self.replace_relay(disk, down_ms);
                }
            }
            Action::RelayWipe { down_ms } => {
                self.count(Fault::RelayWiped);
                self.replace_relay(SimDisk::new(), down_ms);
            }
            Action::RelaySwitch { down_ms } => {
                self.count(Fault::RelaySwitched);
                self.close_relay(false);
                self.post.switch();
                self.relay_forgot = true;
                self.grow_lenient();
                self.reopen_relay(down_ms);
            }
            _ => {}
        }
        Ok(())
    }

    fn cut(&mut self, till: usize) -> Result<(), Violation> {
        let Some(conn) = self.tills[till].conn else { return Ok(()) };
        if !self.conns[conn].relay_end {
            return Ok(());
        }
        if self.conns[conn].up.under_way + self.conns[conn].down.under_way > 0 {
            self.count(Fault::Loss);
        }
        self.conns[conn].reset = true;
        let way_ms = self.way_ms();
        self.after(way_ms, Event::UpClosed { conn });
        self.device_end(conn, "the connection was reset")
    }

    fn partition(&mut self, till: usize, for_ms: u64) -> Result<(), Violation> {
        self.count(Fault::Partition);
        self.tills[till].partition_until_ms =
            self.tills[till].partition_until_ms.max((self.now_ms + for_ms).min(SAFETY_MS));
        self.watch_silence(till);
        Ok(())
    }

    fn half_open(&mut self, till: usize) -> Result<(), Violation> {
        let Some(conn) = self.tills[till].conn else { return Ok(()) };
        if self.conns[conn].relay_end {
            self.conns[conn].dead = true;
            self.count(Fault::HalfOpen);
            self.watch_silence(till);
        }
        Ok(())
    }

    fn watch_silence(&mut self, till: usize) {
        if let Some(conn) = self.tills[till].conn {
            self.after(SILENCE_MAX_MS, Event::Silent { conn });
        }
    }

    fn crash(&mut self, till: usize, power: bool, keep: usize, down_ms: u64) {
        self.drop_engine(till);
        if power {
            self.count(Fault::DevicePowerCut);
            if self.tills[till].disk.crash(keep) > 0 {
                self.count(Fault::LostUnflushed);
            }
        } else {
            self.count(Fault::DeviceKilled);
            self.tills[till].disk.reopen();
        }
        self.tills[till].life += 1;
        let life = self.tills[till].life;
        self.after(self.within_safety(down_ms), Event::Reopen { till, life });
    }

    fn restore(&mut self, till: usize, seen: bool) -> Result<(), Violation> {
        if self.tills[till].backup.is_none() {
            return Ok(());
        }
        self.count(if seen { Fault::DeviceRestored } else { Fault::DeviceRolledBack });
        self.rolled_back |= !seen;
        self.grow_lenient();
        self.drop_engine(till);
        if let Some(forgiven) = self.tills[till].put_back(seen) {
            self.forgiven.extend(forgiven);
        }
        self.start_till(till)
    }

    /// See the oracle's promise about counters.
    fn grow_lenient(&mut self) {
        if self.rolled_back && self.relay_forgot {
            self.post.ledger.lenient = true;
            self.tills.iter_mut().for_each(|till| till.lenient = true);
        }
    }

    fn clone_till(&mut self, till: usize) -> Result<(), Violation> {
        if self.tills.len() >= TILLS_MAX {
            return Ok(());
        }
        self.count(Fault::DeviceCloned);
        let number = self.tills.len();
        let copy = self.tills[till].copy(number);
        self.tokens.insert(copy.token.clone());
        self.tills.push(copy);
        self.start_till(number)
    }

    /// The device gets a new token.
    pub(super) fn renew(&mut self, till: usize) -> Result<(), Violation> {
        if self.tokens.contains(&self.tills[till].token) {
            return Ok(());
        }
        self.tokens_drawn += 1;
        let token = format!("token {till} {}", self.tokens_drawn);
        self.tokens.insert(token.clone());
        self.tills[till].token = token;
        let now = self.tills[till].now(self.now_ms);
        let settings = self.tills[till].settings();
        let Some(engine) = &mut self.tills[till].engine else { return Ok(()) };
        if engine.configure(settings).is_err() {
            return self.till_failed(till);
        }
        engine.stop();
        engine.start(Mode::Both, now);
        self.drop_connection(till);
        self.pump(till)
    }

    fn drop_connection(&mut self, till: usize) {
        if let Some(conn) = self.tills[till].conn.take() {
            self.conns[conn].device_end = false;
            let way_ms = self.way_ms();
            self.after(way_ms, Event::UpClosed { conn });
        }
    }

    fn crash_relay(&mut self, power: bool, keep: usize, down_ms: u64, silent: bool) {
        if power {
            self.count(Fault::RelayPowerCut);
            if self.post.disk.crash(keep) > 0 {
                self.count(Fault::LostUnflushed);
            }
        } else {
            self.count(Fault::RelayKilled);
            self.post.disk.reopen();
        }
        self.close_relay(silent);
        self.reopen_relay(down_ms);
    }

    fn replace_relay(&mut self, disk: SimDisk, down_ms: u64) {
        self.relay_forgot = true;
        self.grow_lenient();
        self.close_relay(false);
        self.post.replace_disk(disk);
        self.reopen_relay(down_ms);
    }

    /// The relay's process is gone: its devices are told by its system, or find out by the silence.
    fn close_relay(&mut self, silent: bool) {
        self.post.close(false);
        self.store_due = false;
        let conns: Vec<usize> = self.sessions.keys().copied().collect();
        for conn in conns {
            self.end_session(conn);
            self.conns[conn].dead |= silent;
            match silent {
                true => self.after(SILENCE_MAX_MS, Event::Silent { conn }),
                false => {
                    self.conns[conn].reset = true;
                    let way_ms = self.way_ms();
                    self.after(way_ms, Event::DownClosed { conn, cause: "the connection was reset" });
                }
            }
        }
    }

    fn reopen_relay(&mut self, down_ms: u64) {
        self.post.life += 1;
        let life = self.post.life;
        self.after(self.within_safety(down_ms), Event::RelayReopen { life });
    }

    /// What is down when the faults end is started then.
    fn within_safety(&self, down_ms: u64) -> u64 {
        down_ms.min(SAFETY_MS.saturating_sub(self.now_ms).max(RELAY_REOPEN_MS))
    }

    pub(super) fn open_relay(&mut self) -> Result<(), Violation> {
        self.note(11, 0, &[], || "relay starts".to_owned());
        // A push that came while the log was closed is not taken.
        self.post.queue.clear();
        self.store_due = false;
        match self.post.open(self.now_ms)? {
            Ok(()) => Ok(()),
            Err(_) => {
                self.post.disk.reopen();
                self.reopen_relay(RELAY_REOPEN_MS);
                Ok(())
            }
        }
    }

    /// The relay's disk failed: nothing waits any more, everybody is sent away, and it is opened again.
    pub(super) fn relay_failed(&mut self) -> Result<(), Violation> {
        self.note(12, 0, &[], || "relay's disk fails".to_owned());
        self.post.close(true);
        self.store_due = false;
        match self.post.cut_with_failure.take() {
            None => self.post.disk.reopen(),
            Some(keep) => {
                if self.post.disk.crash(keep) > 0 {
                    self.count(Fault::LostUnflushed);
                }
            }
        }
        self.reopen_relay(RELAY_REOPEN_MS);
        self.talk_all()
    }
}
