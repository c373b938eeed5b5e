//! What devices do: the loop around an engine as the SDK runs it, and edits. Must not know the relay's side.

use super::{Event, World};
use crate::edits::{edits_of, series_name, stock};
use crate::fault::Fault;
use crate::net::{Conn, UP_MAX};
use crate::oracle::{Kind, STALE_MS, Violation, broken};
use crate::plan::Edit;
use crate::till::{failed, is_fatal};
use comptoir_engine::wire::message::FromDevice;
use comptoir_engine::{Event as Told, Mode, RecordId, State, StoreError};

/// How long a store that failed stays closed.
const REOPEN_MS: u64 = 250;
/// When a system repeats an attempt to connect that got no answer, within the 10 s that the attempt is given.
const SYNS_MS: [u64; 4] = [0, 1_000, 3_000, 7_000];
const SILENCE: &str = "the relay has gone silent";

impl World {
    /// Starts a device's process, or tries again later.
    pub(super) fn start_till(&mut self, till: usize) -> Result<(), Violation> {
        let now = self.tills[till].now(self.now_ms);
        match self.tills[till].open() {
            Ok(()) => {
                self.note(1, till, &[], || format!("till {till} starts"));
                self.tills[till].check_all()?;
                self.check_whole(till)?;
                if let Some(engine) = &mut self.tills[till].engine {
                    engine.start(Mode::Both, now);
                }
                self.pump(till)
            }
            Err(error) if is_fatal(&error) => self.till_failed(till),
            Err(error) => Err(failed(till, &error)),
        }
    }

    /// The disk failed: the store is closed and opened again after a while, as the SDK does.
    pub(super) fn till_failed(&mut self, till: usize) -> Result<(), Violation> {
        self.note(2, till, &[], || format!("till {till}'s disk fails"));
        self.drop_engine(till);
        match self.tills[till].cut_with_failure.take() {
            None => self.tills[till].disk.reopen(),
            Some(keep) => {
                if self.tills[till].disk.crash(keep) > 0 {
                    self.count(Fault::LostUnflushed);
                }
            }
        }
        let life = self.tills[till].life;
        self.after(REOPEN_MS, Event::Reopen { till, life });
        Ok(())
    }

    /// The process is gone; its connection is closed by the system.
    pub(super) fn drop_engine(&mut self, till: usize) {
        self.tills[till].engine = None;
        self.tills[till].was_up_to_date = false;
        self.tills[till].live_since_ms = None;
        self.close_device_end(till);
    }

    fn close_device_end(&mut self, till: usize) {
        if let Some(conn) = self.tills[till].conn.take() {
            self.conns[conn].device_end = false;
            if !self.conns[conn].dead {
                let at_ms = self.up_arrival(conn);
                self.at(at_ms, Event::UpClosed { conn });
            }
        }
    }

    /// When a message sent up now will be there.
    fn up_arrival(&mut self, conn: usize) -> u64 {
        let way_ms = self.way_ms();
        let held_ms = self.tills[self.conns[conn].till].partition_until_ms;
        let at_ms = (self.now_ms.max(held_ms) + way_ms).max(self.conns[conn].up.last_ms);
        self.conns[conn].up.last_ms = at_ms;
        at_ms
    }

    /// Does all that is due on a device: events, connection, messages, timer; then looks at what it says of itself.
    pub(super) fn pump(&mut self, till: usize) -> Result<(), Violation> {
        let now = self.tills[till].now(self.now_ms);
        let mut changed = Vec::new();
        loop {
            let mut hang_up = false;
            let mut all = false;
            let Some(engine) = &mut self.tills[till].engine else { return Ok(()) };
            while let Some(event) = engine.poll_event() {
                match event {
                    Told::Changed(record) => changed.push(record),
                    Told::Refresh => all = true,
                    Told::Status => {}
                    Told::Disconnect => hang_up = true,
                }
            }
            if all {
                self.tills[till].check_all()?;
            }
            if hang_up {
                self.close_device_end(till);
                self.disconnected(till, "the relay ended the session");
                continue;
            }
            let Some(engine) = &mut self.tills[till].engine else { return Ok(()) };
            if engine.wants_connection(now) {
                self.dial(till);
            }
            let Some(conn) = self.tills[till].conn else { break };
            if self.conns[conn].up.under_way >= UP_MAX {
                break;
            }
            let Some(engine) = &mut self.tills[till].engine else { return Ok(()) };
            match engine.poll_message(now) {
                Ok(Some(frame)) => self.send_up(conn, frame),
                Ok(None) => break,
                Err(error) => return self.engine_failed(till, &error),
            }
        }
        self.tills[till].check_changed(&changed)?;
        if self.tills[till].disk.is_poisoned() {
            return self.till_failed(till);
        }
        self.look(till)?;
        self.set_timer(till);
        Ok(())
    }

    fn set_timer(&mut self, till: usize) {
        let device = &self.tills[till];
        let Some(at_ms) = device.engine.as_ref().and_then(|engine| engine.poll_timeout()) else { return };
        let at_ms = at_ms.max(self.now_ms + 1);
        if device.timer.is_none_or(|timer| timer > at_ms || timer <= self.now_ms) {
            let life = device.life;
            self.tills[till].timer = Some(at_ms);
            self.at(at_ms, Event::Timer { till, life });
        }
    }

    pub(super) fn timer(&mut self, till: usize, life: u64) -> Result<(), Violation> {
        if self.tills[till].life != life {
            return Ok(());
        }
        self.tills[till].timer = None;
        let now = self.tills[till].now(self.now_ms);
        if let Some(engine) = &mut self.tills[till].engine {
            engine.handle_timeout(now);
        }
        self.pump(till)
    }

    fn dial(&mut self, till: usize) {
        let conn = self.conns.len();
        self.conns.push(Conn::new(till, false));
        self.tills[till].conn = Some(conn);
        self.note(3, till, &[], || format!("till {till} connects ({conn})"));
        let Some(lost_ms) = self.lost_syns_ms(till) else { return };
        let way_ms = lost_ms + self.way_ms();
        if !self.post.is_open() {
            return self.after(way_ms, Event::Refused { conn });
        }
        if std::mem::take(&mut self.tills[till].connect_twice) {
            let twin = self.conns.len();
            self.conns.push(Conn::new(till, true));
            self.conns[conn].twin = Some(twin);
        }
        self.after(way_ms, Event::Connected { conn });
    }

    /// How long a device's system repeats its attempt until it gets through; `None` if that is past the attempt's end.
    fn lost_syns_ms(&self, till: usize) -> Option<u64> {
        let held_ms = self.tills[till].partition_until_ms.saturating_sub(self.now_ms);
        SYNS_MS.into_iter().find(|after_ms| *after_ms >= held_ms)
    }

    /// The connection is open at both ends.
    pub(super) fn connected(&mut self, conn: usize) -> Result<(), Violation> {
        let till = self.conns[conn].till;
        if !self.post.is_open() {
            return self.device_end(conn, "the relay cannot be reached");
        }
        if !self.conns[conn].device_end {
            return Ok(());
        }
        self.accept(conn);
        if let Some(twin) = self.conns[conn].twin {
            self.accept(twin);
            self.count(Fault::DuplicateConnection);
        }
        let now = self.tills[till].now(self.now_ms);
        self.tills[till].live_since_ms = Some(self.now_ms);
        if let Some(engine) = &mut self.tills[till].engine {
            engine.handle_connected(now);
        }
        self.pump(till)
    }

    fn send_up(&mut self, conn: usize, frame: Vec<u8>) {
        let till = self.conns[conn].till;
        let message = FromDevice::decode(&frame);
        self.compared |= matches!(message, Ok(FromDevice::Reconcile { .. }));
        self.note(4, conn, &frame, || format!("till {till} says {} ({conn})", said_by_device(&frame)));
        if let Some(twin) = self.conns[conn].twin.take() {
            let wait_ms = self.way_ms() + 500;
            self.conns[twin].up.under_way += 1;
            self.after(wait_ms, Event::Up { conn: twin, frame: frame.clone() });
        }
        if self.conns[conn].dead {
            return;
        }
        let at_ms = self.up_arrival(conn);
        self.conns[conn].up.under_way += 1;
        self.at(at_ms, Event::Up { conn, frame });
    }

    /// A message of the relay is there.
    pub(super) fn heard_down(&mut self, conn: usize, frame: &[u8]) -> Result<(), Violation> {
        self.conns[conn].down.under_way -= 1;
        let till = self.conns[conn].till;
        if self.conns[conn].reset || self.conns[conn].dead {
            return Ok(());
        }
        if self.tills[till].conn == Some(conn) {
            let now = self.tills[till].now(self.now_ms);
            if let Some(engine) = &mut self.tills[till].engine
                && let Err(error) = engine.handle_message(frame, now)
            {
                return self.engine_failed(till, &error).and_then(|()| self.talk(conn));
            }
            self.pump(till)?;
        }
        self.talk(conn)
    }

    fn engine_failed(&mut self, till: usize, error: &StoreError) -> Result<(), Violation> {
        match is_fatal(error) {
            true => self.till_failed(till),
            false => Err(failed(till, error)),
        }
    }

    /// The connection is gone, and the device is told.
    pub(super) fn device_end(&mut self, conn: usize, cause: &'static str) -> Result<(), Violation> {
        let till = self.conns[conn].till;
        self.conns[conn].device_end = false;
        if self.tills[till].conn != Some(conn) {
            return Ok(());
        }
        self.tills[till].conn = None;
        self.disconnected(till, cause);
        self.pump(till)
    }

    fn disconnected(&mut self, till: usize, cause: &str) {
        self.note(5, till, &[], || format!("till {till} is disconnected: {cause}"));
        let now = self.tills[till].now(self.now_ms);
        let device = &mut self.tills[till];
        device.live_since_ms = None;
        if let Some(engine) = &mut device.engine {
            engine.handle_disconnected(cause, now, &mut device.rng);
        }
    }

    /// A dead or cut-off connection is given up by those who still hold an end.
    pub(super) fn silent(&mut self, conn: usize) -> Result<(), Violation> {
        let held = self.tills[self.conns[conn].till].partition_until_ms > self.now_ms;
        if !self.conns[conn].dead && !held {
            return Ok(());
        }
        self.conns[conn].dead = true;
        self.end_session(conn);
        self.device_end(conn, SILENCE)
    }

    /// What a device says of itself is true.
    fn look(&mut self, till: usize) -> Result<(), Violation> {
        let Some(engine) = &self.tills[till].engine else { return Ok(()) };
        let status = engine.status();
        if status.quarantined > 0 {
            let reasons = engine.quarantine().unwrap_or_default();
            let reasons: Vec<_> = reasons.iter().map(|each| format!("{}: {}", each.record, each.reason)).collect();
            return broken(Kind::SetAside, format!("on till {till}: {}", reasons.join(", ")));
        }
        let is_up_to_date = status.state == State::UpToDate;
        if is_up_to_date {
            if status.pending > 0 {
                return broken(Kind::FalseUpToDate, format!("till {till} with {} edits pending", status.pending));
            }
            if !self.post.ledger.had(status.digest, self.now_ms.saturating_sub(STALE_MS)) {
                return broken(Kind::FalseUpToDate, format!("till {till} with a digest the log did not have"));
            }
            let (sheets, digest) = self.post.ledger.sheets();
            if !self.tills[till].was_up_to_date && digest == status.digest && *sheets != self.tills[till].sheets {
                return broken(Kind::FalseUpToDate, format!("till {till} holds other edits than the log"));
            }
        }
        let device = &mut self.tills[till];
        if let (true, Some(since_ms)) = (is_up_to_date && device.settled_conn != device.conn, device.live_since_ms) {
            device.settled_conn = device.conn;
            self.outcome.exchanged_ms.push(self.now_ms - since_ms);
        }
        if is_up_to_date && !self.tills[till].was_up_to_date {
            self.tills[till].up_to_date_ms = self.now_ms;
            self.note(6, till, &status.digest.0, || format!("till {till} is up to date"));
        }
        self.tills[till].was_up_to_date = is_up_to_date;
        Ok(())
    }

    /// Every transaction is there as a whole. Comparing histories goes record by record, and is done before it ends.
    pub(super) fn check_whole(&self, till: usize) -> Result<(), Violation> {
        let holds = |record: usize, edit: &String| {
            self.tills[till].sheets.get(&stock(record)).is_some_and(|sheet| sheet.marks.contains_key(edit))
        };
        let torn = |(edit, [from, to]): &(&String, &[usize; 2])| holds(*from, edit) != holds(*to, edit);
        match self.transfers.iter().find(torn) {
            Some((edit, _)) if !self.compared => broken(Kind::Torn, format!("transaction {edit} on till {till}")),
            _ => Ok(()),
        }
    }

    /// An edit by whoever stands at the device.
    pub(super) fn edit(&mut self, till: usize, edit: Edit) -> Result<(), Violation> {
        self.edits += 1;
        let name = format!("{}", self.edits);
        if let Edit::Claim { series } = edit {
            return self.claim(till, series);
        }
        let Some(edits) = edits_of(edit, &name, &self.tills[till].sheets) else { return Ok(()) };
        if let Edit::Transfer { from, to, .. } = edit {
            self.transfers.insert(name.clone(), [from, to]);
        }
        let now = self.tills[till].now(self.now_ms);
        let Some(engine) = &mut self.tills[till].engine else { return Ok(()) };
        match engine.commit(&edits, now) {
            Ok(committed) => {
                self.outcome.operations += 1;
                self.note(7, till, name.as_bytes(), || format!("till {till} saves edit {name}: {edit:?}"));
                for number in committed.numbers {
                    self.given(till, number)?;
                }
                self.tills[till].check_changed(&committed.changed)?;
                let kept = |record: &RecordId| {
                    self.tills[till].sheets.get(record).is_some_and(|sheet| sheet.marks.contains_key(&name))
                };
                let readable = !self.tills[till].disk.is_poisoned();
                if let Some((record, _)) =
                    edits.iter().find(|(record, _)| readable && matches!(edit, Edit::Add { .. }) && !kept(record))
                {
                    return broken(Kind::SavedLost, format!("edit {name} of {record} does not show on till {till}"));
                }
                self.pump(till)
            }
            Err(StoreError::Edit { .. }) => self.pump(till),
            Err(error) => self.engine_failed(till, &error),
        }
    }

    fn claim(&mut self, till: usize, series: usize) -> Result<(), Violation> {
        let now = self.tills[till].now(self.now_ms);
        let Some(engine) = &mut self.tills[till].engine else { return Ok(()) };
        match engine.claim_series(&series_name(series), now) {
            Ok(_) => {
                self.outcome.operations += 1;
                self.note(7, till, &[], || format!("till {till} claims series {series}"));
                self.pump(till)
            }
            Err(error) => self.engine_failed(till, &error),
        }
    }

    /// A receipt bears this number.
    fn given(&mut self, till: usize, number: String) -> Result<(), Violation> {
        let held = !number.contains('.');
        let excused = self.forgiven.remove(&number) || (held && self.relay_forgot);
        self.tills[till].issued.push(number.clone());
        match self.numbers.insert(number.clone(), till) {
            Some(other) if !excused => broken(Kind::NumberTwice, format!("{number} by till {other} and till {till}")),
            _ => Ok(()),
        }
    }
}

fn said_by_device(frame: &[u8]) -> String {
    match FromDevice::decode(frame) {
        Ok(FromDevice::Hello(hello)) => format!("hello from {:?}", hello.cursor.map(|(_, through)| through)),
        Ok(FromDevice::Push { push, batch, .. }) => format!("push {push} of {} bytes", batch.len()),
        Ok(FromDevice::Credit { bytes }) => format!("credit {bytes}"),
        Ok(FromDevice::Reconcile { .. }) => "reconcile".to_owned(),
        Ok(FromDevice::Want { leaves, last }) => format!("want {} documents, last {last}", leaves.len()),
        Ok(FromDevice::Pair { .. }) => "pair".to_owned(),
        Err(error) => error.to_string(),
    }
}
