//! The owner's part in a sync: opens the connection the engine wants, carries frames both ways, tells what happened,
//! and answers whoever waits for a single sync. Must not know what a frame says.

use super::{Notice, Reply, Status, Worker};
use crate::error::Error;
use crate::socket::{self, Heard, Link};
use comptoir_engine::{Event, Mode, State};
use tokio::sync::mpsc;

/// How often a single sync connects before it gives up.
const ATTEMPTS_MAX: u32 = 3;

/// Somebody waits for a single sync.
pub(super) struct Once {
    reply: Reply<Status>,
    failures: u32,
}

impl Once {
    pub(super) fn answer(self, outcome: Result<Status, Error>) {
        // Whoever asked may have gone.
        drop(self.reply.send(outcome));
    }
}

impl Worker {
    /// Begins a single sync; it is answered by [`Worker::end_once`].
    pub(super) fn sync_once(&mut self, mode: Mode, reply: Reply<Status>) {
        if self.once.as_ref().is_some_and(|once| !once.reply.is_closed()) {
            return drop(reply.send(Err(Error::Busy)));
        }
        match self.begin(mode) {
            Ok(()) => self.once = Some(Once { reply, failures: 0 }),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Begins to stay connected. While a single sync is under way, that ends first.
    pub(super) fn stay_live(&mut self, mode: Mode) -> Result<(), Error> {
        if self.once.is_none() {
            self.begin(mode)?;
        }
        self.live = Some(mode);
        Ok(())
    }

    fn begin(&mut self, mode: Mode) -> Result<(), Error> {
        let relay = self.with(|engine, _| Ok(engine.settings().relay.clone()))?;
        if relay.is_empty() {
            return Err(Error::NoRelay);
        }
        if !socket::is_address(&relay) {
            return Err(Error::Address { address: relay });
        }
        self.link = None;
        self.with(|engine, now| {
            engine.start(mode, now);
            Ok(())
        })
    }

    pub(super) fn pause(&mut self) -> Result<(), Error> {
        self.live = None;
        self.once = None;
        self.link = None;
        self.with(|engine, _| {
            engine.stop();
            Ok(())
        })
    }

    pub(super) fn connect(&mut self) {
        let now = self.now();
        if let Ok(engine) = self.slot.engine_mut()
            && engine.wants_connection(now)
        {
            let relay = engine.settings().relay.clone();
            self.link = Some(socket::connect(&relay, self.counters.clone(), self.slot.machine()));
        }
    }

    pub(super) fn time_out(&mut self) {
        let now = self.now();
        if let Ok(engine) = self.slot.engine_mut() {
            engine.handle_timeout(now);
        }
    }

    /// Hands frames to the connection; true when it takes no more for now.
    pub(super) fn send(&mut self) -> bool {
        loop {
            let Some(frames) = self.link.as_ref().map(|link| link.frames.clone()) else { return false };
            let permit = match frames.try_reserve() {
                Ok(permit) => permit,
                Err(mpsc::error::TrySendError::Full(())) => return true,
                Err(mpsc::error::TrySendError::Closed(())) => return false,
            };
            match self.with(|engine, now| engine.poll_message(now)) {
                Ok(Some(frame)) => permit.send(frame),
                Ok(None) => return false,
                Err(error) => {
                    self.break_off(&error);
                    return false;
                }
            }
        }
    }

    pub(super) fn heard(&mut self, heard: Heard) {
        let outcome = match heard {
            Heard::Connected => self.with(|engine, now| {
                engine.handle_connected(now);
                Ok(())
            }),
            Heard::Frame(frame) => self.with(|engine, now| {
                if planted!(HeardTwice) {
                    engine.handle_message(&frame, now)?;
                }
                engine.handle_message(&frame, now)
            }),
            Heard::Closed { cause } => {
                self.disconnected(&cause);
                Ok(())
            }
            Heard::Untrusted { address, cause } => {
                let error = Error::Untrusted { address, cause };
                self.disconnected(&error.to_string());
                // Another attempt would meet the same certificate.
                if let Some(once) = self.once.take() {
                    once.answer(Err(error));
                    self.resume();
                }
                Ok(())
            }
        };
        if let Err(error) = outcome {
            self.break_off(&error);
        }
    }

    /// The store could not take or give what the session needed: the connection ends, and is tried again later.
    fn break_off(&mut self, error: &Error) {
        let cause = error.to_string();
        self.disconnected(&cause);
        if let Some(once) = self.once.take() {
            once.answer(Err(Error::Sync { cause }));
            self.resume();
        }
    }

    fn disconnected(&mut self, cause: &str) {
        self.link = None;
        let now = self.now();
        if let Ok(engine) = self.slot.engine_mut() {
            engine.handle_disconnected(cause, now, &mut self.rng);
        }
        if let Some(once) = &mut self.once {
            once.failures += 1;
        }
    }

    /// Tells watchers what happened, and closes a connection the engine wants closed.
    pub(crate) fn tell(&mut self) {
        let mut any = self.telling.status.borrow().is_none();
        while let Ok(engine) = self.slot.engine_mut()
            && let Some(event) = engine.poll_event()
        {
            any = true;
            let notice = match event {
                Event::Changed(record) => Notice::Changed(record),
                Event::Refresh => Notice::Refresh,
                Event::Status => continue,
                Event::Disconnect => {
                    self.disconnected("the relay ended the session");
                    continue;
                }
            };
            // No watchers, nobody to tell.
            let _ = self.telling.notices.send(notice);
        }
        if any {
            self.telling.status.send_replace(self.status());
        }
    }

    /// Answers who waits for a single sync, when it is done or cannot be.
    pub(super) fn end_once(&mut self) {
        let (Some(once), Some(engine)) = (&self.once, self.slot.engine()) else { return };
        let status = engine.status();
        let failed = || status.error.clone().unwrap_or_else(|| "the relay ended the session".to_owned());
        let outcome = match status.state {
            _ if once.reply.is_closed() => Err(Error::ShutDown),
            State::Error if engine.is_done() || once.failures > 0 => Err(Error::Sync { cause: failed() }),
            _ if engine.is_done() => Ok(()),
            _ if once.failures >= ATTEMPTS_MAX => Err(Error::Sync { cause: failed() }),
            _ => return,
        };
        // The status while the session still knows.
        let outcome = outcome.and_then(|()| self.status().ok_or(Error::ShutDown));
        let Some(once) = self.once.take() else { return };
        self.resume();
        self.tell();
        once.answer(outcome);
    }

    /// Ends a single sync whose time is up; what stands in its way, if that is known.
    pub(super) fn give_up_once(&mut self) -> Option<String> {
        let status = self.status()?;
        let is_welcome = self.slot.engine().is_some_and(|engine| engine.role().is_some());
        let silent = || format!("the relay {} does not answer", status.settings.relay);
        let cause = status.engine.error.clone().or_else(|| (!is_welcome).then(silent));
        if self.once.take().is_some() {
            self.resume();
        }
        cause
    }

    /// After a single sync: goes back to what was going on before.
    fn resume(&mut self) {
        self.link = None;
        let (now, live) = (self.now(), self.live);
        let Ok(engine) = self.slot.engine_mut() else { return };
        engine.stop();
        if let Some(mode) = live {
            engine.start(mode, now);
        }
    }
}

/// What the connection tells next; never, while there is none.
pub(super) async fn hear(link: &mut Option<Link>) -> Heard {
    match link {
        Some(link) => link.heard.recv().await.unwrap_or(Heard::Closed { cause: "the connection broke".to_owned() }),
        None => std::future::pending().await,
    }
}

/// Returns when the connection takes another frame, or will never; without one to wait for, not at all.
pub(super) async fn room(frames: Option<mpsc::Sender<Vec<u8>>>) {
    match frames {
        Some(frames) => drop(frames.reserve().await),
        None => std::future::pending().await,
    }
}
