//! A device's process: the SDK as it is shipped, and an app on it that edits, watches what changes and holds everything it is
//! told against the oracle. Must not know the relay's side.

use super::machine::Simulated;
use super::pace::paced;
use super::town::{Ask, Shared, held};
use crate::edits::{edits_of, series_name, stock};
use crate::ledger::Ledger;
use crate::oracle::{Kind, STALE_MS, Sheet, Violation, broken};
use crate::plan::Edit;
use crate::till::{Sheets, is_fatal};
use comptoir::{Collection, Comptoir, Error, Mode, Notice, RecordId, State, Status, View, Watch};
use comptoir_engine::StoreError;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::sleep;

/// Asks that may wait for a process.
const ASKS_MAX: usize = 256;
/// How long an app whose store does not open waits before it tries again.
const RESTART: Duration = Duration::from_millis(250);
const RECORDS_MAX: usize = 10_000;

/// What ends a process's work for now: a broken promise, or a store that is closed until it can be opened again.
enum Stop {
    Broken(Violation),
    Closed,
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

type Done<T = ()> = Result<T, Stop>;

/// The app's side of a process.
struct App {
    town: Shared,
    number: usize,
    shop: Comptoir,
    watch: Watch,
    was_up_to_date: bool,
    /// There is a new token that the store has not taken.
    renewing: bool,
}

/// The device's process, from its start on.
pub(super) async fn process(town: Shared, number: usize) -> turmoil::Result {
    let wait_ms = {
        let town = held(&town);
        town.desks[number].drive.down_until_ms.saturating_sub(town.now_ms())
    };
    // wait: simulated; the device is down
    sleep(Duration::from_millis(wait_ms)).await;
    let (shop, work) = loop {
        let settings = held(&town).settings(number);
        match Comptoir::on(Simulated { town: town.clone(), number }, Some(settings)) {
            Ok(opened) => break opened,
            // wait: simulated; as an app would
            Err(Error::Store(error)) if is_fatal(&error) => sleep(RESTART).await,
            Err(error) => {
                held(&town).check::<()>(broken(Kind::StoreFailed, format!("till {number}: {error}")));
                return Ok(());
            }
        }
    };
    let rng = held(&town).rng(Some(number));
    spawn_local(paced(work, rng));
    let (inbox, mut asks) = mpsc::channel(ASKS_MAX);
    let mut statuses = shop.statuses();
    {
        let mut town = held(&town);
        (town.desks[number].inbox, town.desks[number].statuses) = (Some(inbox), Some(statuses.clone()));
        town.note(1, number, &[], || format!("till {number} starts"));
    }
    let watch = shop.watch();
    let mut app = App { town, number, shop, watch, was_up_to_date: false, renewing: false };
    let began = app.begin().await;
    app.settle(began);
    loop {
        let done = app.next(&mut asks, &mut statuses).await;
        app.settle(done);
    }
}

impl App {
    /// Keeps what was broken. A store that is closed opens again, and says so.
    fn settle(&self, done: Done) {
        if let Err(Stop::Broken(violation)) = done {
            held(&self.town).check::<()>(Err(violation));
        }
    }

    async fn begin(&mut self) -> Done {
        // A store whose disk has failed meanwhile stays live when it is open again.
        let live = self.shop.stay_live(Mode::Both).await;
        self.check_all().await?;
        self.done(live)
    }

    async fn next(&mut self, asks: &mut mpsc::Receiver<Ask>, statuses: &mut watch::Receiver<Option<Status>>) -> Done {
        tokio::select! {
            biased;
            notice = self.watch.next() => match notice {
                Some(Notice::Changed(record)) => self.check_changed(&record).await,
                Some(Notice::Refresh) => {
                    self.check_all().await?;
                    self.renew().await
                }
                None => std::future::pending().await,
            },
            Ok(()) = statuses.changed() => {
                let status = statuses.borrow_and_update().clone();
                match status {
                    Some(status) => self.look(status).await,
                    None => Ok(()),
                }
            }
            Some(ask) = asks.recv() => self.answer(ask).await,
        }
    }

    /// What the SDK answered; a store that failed is closed, anything else may not happen.
    fn done<T>(&self, outcome: Result<T, Error>) -> Done<T> {
        match outcome {
            Ok(done) => Ok(done),
            Err(Error::Store(error)) if is_fatal(&error) => Err(Stop::Closed),
            Err(error) => {
                let what = format!("till {}: {error}", self.number);
                Err(Stop::Broken(Violation { kind: Kind::StoreFailed, what }))
            }
        }
    }

    async fn answer(&mut self, ask: Ask) -> Done {
        match ask {
            Ask::Edit(edit, name) => self.edit(edit, name).await,
            Ask::Renew => {
                self.renewing = true;
                self.renew().await
            }
            Ask::Read => {
                let told = held(&self.town).desks[self.number].sheets.clone();
                self.check_all().await?;
                self.check_told(&told)?;
                let views = self.views().await?;
                held(&self.town).desks[self.number].views = Some(views);
                Ok(())
            }
        }
    }

    /// The store gets the new token, again when its disk failed meanwhile.
    async fn renew(&mut self) -> Done {
        if !self.renewing {
            return Ok(());
        }
        let settings = held(&self.town).settings(self.number);
        let configured = self.shop.configure(settings).await;
        self.done(configured)?;
        let paused = self.shop.pause().await;
        self.done(paused)?;
        let live = self.shop.stay_live(Mode::Both).await;
        self.done(live)?;
        self.renewing = false;
        Ok(())
    }

    /// An edit by whoever stands at the device.
    async fn edit(&mut self, edit: Edit, name: String) -> Done {
        let number = self.number;
        if let Edit::Claim { series } = edit {
            let claimed = self.shop.claim_series(series_name(series).as_str()).await;
            self.done(claimed)?;
            let mut town = held(&self.town);
            town.outcome.operations += 1;
            town.note(7, number, &[], || format!("till {number} claims series {series}"));
            return Ok(());
        }
        let edits = {
            let mut town = held(&self.town);
            let edits = edits_of(edit, &name, &town.desks[number].sheets);
            if let Edit::Transfer { from, to, .. } = edit {
                town.transfers.insert(name.clone(), [from, to]);
            }
            edits
        };
        let Some(edits) = edits else { return Ok(()) };
        let committed = match self.shop.commit(edits.clone()).await {
            Err(Error::Store(StoreError::Edit { .. })) => return Ok(()),
            outcome => self.done(outcome)?,
        };
        {
            let mut town = held(&self.town);
            town.outcome.operations += 1;
            town.note(7, number, name.as_bytes(), || format!("till {number} saves edit {name}: {edit:?}"));
            for receipt in committed.numbers {
                town.given(number, receipt)?;
            }
        }
        for record in &committed.changed {
            self.check_changed(record).await?;
        }
        let town = held(&self.town);
        let sheets = &town.desks[number].sheets;
        let kept = |record: &RecordId| sheets.get(record).is_some_and(|sheet| sheet.marks.contains_key(&name));
        match edits.iter().find(|(record, _)| matches!(edit, Edit::Add { .. }) && !kept(record)) {
            Some((record, _)) => {
                Ok(broken(Kind::SavedLost, format!("edit {name} of {record} does not show on till {number}"))?)
            }
            None => Ok(()),
        }
    }

    /// A record that changed holds everything it held before, and counts rightly.
    async fn check_changed(&mut self, record: &RecordId) -> Done {
        if record.collection.is_reserved() {
            return Ok(());
        }
        let view = self.shop.get(record.collection.as_str(), record.key.as_str()).await;
        let Some(view) = self.done(view)? else { return Ok(()) };
        Ok(self.show(record, &Sheet::read(&view))?)
    }

    fn show(&self, record: &RecordId, sheet: &Sheet) -> Result<(), Violation> {
        let (mut town, number) = (held(&self.town), self.number);
        let lenient = town.lenient;
        let sheets = &mut town.desks[number].sheets;
        if let Some(mark) = sheets.get(record).and_then(|before| before.missing_in(Some(sheet))) {
            return broken(Kind::SavedLost, format!("edit {mark} of {record} is gone from till {number}"));
        }
        if !lenient {
            sheet.check(&format!("{record} on till {number}"))?;
        }
        sheets.insert(record.clone(), sheet.clone());
        Ok(())
    }

    /// As [`App::check_changed`], for every record; and every transaction is there as a whole.
    async fn check_all(&mut self) -> Done {
        let views = self.views().await?;
        let hot = views.iter().filter(|(record, _)| !record.collection.is_reserved());
        let found: Sheets = hot.map(|(record, view)| (record.clone(), Sheet::read(view))).collect();
        let before = held(&self.town).desks[self.number].sheets.clone();
        if let Some((record, _)) =
            before.iter().find(|(record, sheet)| !sheet.marks.is_empty() && !found.contains_key(*record))
        {
            return Ok(broken(Kind::SavedLost, format!("{record} is gone from till {}", self.number))?);
        }
        for (record, sheet) in &found {
            self.show(record, sheet)?;
        }
        let town = held(&self.town);
        let holds = |record: usize, edit: &String| {
            found.get(&stock(record)).is_some_and(|sheet| sheet.marks.contains_key(edit))
        };
        let torn = |(edit, [from, to]): &(&String, &[usize; 2])| holds(*from, edit) != holds(*to, edit);
        match town.transfers.iter().find(torn) {
            Some((edit, _)) if !town.compared => {
                Ok(broken(Kind::Torn, format!("transaction {edit} on till {}", self.number))?)
            }
            _ => Ok(()),
        }
    }

    /// Whoever only listened to what changed knows all that there is.
    fn check_told(&self, told: &Sheets) -> Result<(), Violation> {
        let town = held(&self.town);
        let sheets = &town.desks[self.number].sheets;
        match sheets.iter().find_map(|(record, sheet)| Some((record, sheet.missing_in(told.get(record))?))) {
            Some((record, mark)) => {
                broken(Kind::Untold, format!("nobody at till {} was told of edit {mark} of {record}", self.number))
            }
            None => Ok(()),
        }
    }

    async fn views(&self) -> Done<BTreeMap<RecordId, View>> {
        let mut views = BTreeMap::new();
        let collections = self.shop.collections().await;
        let mut collections = self.done(collections)?;
        collections.extend(Collection::new("_series").ok());
        for collection in collections {
            let list = self.shop.list(&collection, None, RECORDS_MAX).await;
            let named = |(key, view)| (RecordId { collection: collection.clone(), key }, view);
            views.extend(self.done(list)?.into_iter().map(named));
        }
        Ok(views)
    }

    /// What the device says of itself is true.
    async fn look(&mut self, status: Status) -> Done {
        let number = self.number;
        if status.engine.quarantined > 0 {
            let set_aside = self.shop.quarantine().await;
            let reasons: Vec<_> =
                self.done(set_aside)?.iter().map(|each| format!("{}: {}", each.record, each.reason)).collect();
            return Ok(broken(Kind::SetAside, format!("on till {number}: {}", reasons.join(", ")))?);
        }
        let is_up_to_date = status.engine.state == State::UpToDate;
        let is_news = is_up_to_date && !std::mem::replace(&mut self.was_up_to_date, is_up_to_date);
        {
            let mut town = held(&self.town);
            let now_ms = town.now_ms();
            check_status(&town.office.ledger, number, &status, now_ms)?;
            let desk = &mut town.desks[number];
            match is_up_to_date {
                true => _ = desk.up_to_date_ms.get_or_insert(now_ms),
                false => desk.up_to_date_ms = None,
            }
            if is_news {
                town.note(6, number, &status.engine.digest.0, || format!("till {number} is up to date"));
            }
        }
        if is_news {
            self.check_equal(&status).await?;
        }
        Ok(())
    }

    /// A device that just got up to date holds what the log holds with the same digest.
    async fn check_equal(&mut self, status: &Status) -> Done {
        while let Some(notice) = self.watch.now() {
            match notice {
                Notice::Changed(record) => self.check_changed(&record).await?,
                Notice::Refresh => self.check_all().await?,
            }
        }
        let now = self.shop.status().await;
        let now = self.done(now)?;
        let town = held(&self.town);
        let (sheets, digest) = town.office.ledger.sheets();
        let same = now.engine.digest == status.engine.digest && digest == status.engine.digest;
        match same && *sheets != town.desks[self.number].sheets {
            true => Ok(broken(Kind::FalseUpToDate, format!("till {} holds other edits than the log", self.number))?),
            false => Ok(()),
        }
    }
}

/// "Up to date" is true as of now.
pub(super) fn check_status(ledger: &Ledger, number: usize, status: &Status, now_ms: u64) -> Result<(), Violation> {
    if status.engine.state != State::UpToDate {
        return Ok(());
    }
    if status.engine.pending > 0 {
        return broken(Kind::FalseUpToDate, format!("till {number} with {} edits pending", status.engine.pending));
    }
    match ledger.had(status.engine.digest, now_ms.saturating_sub(STALE_MS)) {
        true => Ok(()),
        false => broken(Kind::FalseUpToDate, format!("till {number} with a digest the log did not have")),
    }
}

/// A session ends with its token; both sides know it when a connection that broke then would be known to be dead.
pub(super) fn check_token(number: usize, status: &Status, token_until_ms: u64, now_ms: u64) -> Result<(), Violation> {
    match status.engine.state == State::UpToDate && token_until_ms + STALE_MS < now_ms {
        true => {
            broken(Kind::Unauthorised, format!("till {number} goes on with a token that ended at {token_until_ms} ms"))
        }
        false => Ok(()),
    }
}
