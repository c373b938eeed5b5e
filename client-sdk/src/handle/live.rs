//! Live queries on the public face. Must not know how a difference is found.

use super::{Comptoir, Watch};
use crate::error::Error;
use crate::worker::Notice;
use comptoir_engine::live::{Live, LiveEvent, Touched};
use comptoir_engine::record::schema::SCHEMAS;
use comptoir_engine::{Collection, Query};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// A query that goes on: first all it shows, then each exact difference. Dropping it ends it. It keeps no queue: who
/// asks late gets one difference, or one `Refresh`, from what was told last to what is.
pub struct LiveQuery {
    shop: Comptoir,
    collection: Collection,
    wake: Watch,
    due: bool,
    state: Arc<Mutex<Shown>>,
}

/// What the thread works on when it looks.
struct Shown {
    live: Live,
    /// Read where the store is: then it names just what has changed there.
    watch: Watch,
    told: Option<LiveEvent>,
}

impl Comptoir {
    /// Begins a live query of at most [`LIVE_RECORDS_MAX`](comptoir_engine::live::LIVE_RECORDS_MAX) records.
    pub fn live(&self, collection: &str, query: Query) -> Result<LiveQuery, Error> {
        let collection = Collection::new(collection)?;
        let shown = Shown { watch: self.watch_all(), live: Live::new(collection.clone(), query)?, told: None };
        let state = Arc::new(Mutex::new(shown));
        Ok(LiveQuery { shop: self.clone(), collection, wake: self.watch_all(), due: true, state })
    }
}

impl LiveQuery {
    /// What the query has to tell, once it has; `None` when the store was shut down. Giving up the wait loses nothing.
    pub async fn next(&mut self) -> Result<Option<LiveEvent>, Error> {
        loop {
            if self.due {
                if let Some(event) = self.look().await? {
                    return Ok(Some(event));
                }
                self.due = false;
            }
            let Some(notice) = self.wake.next().await else { return Ok(None) };
            self.due = self.concerns(&notice);
            while let Some(notice) = self.wake.now() {
                self.due |= self.concerns(&notice);
            }
        }
    }

    async fn look(&self) -> Result<Option<LiveEvent>, Error> {
        let (state, collection) = (self.state.clone(), self.collection.clone());
        let look = move |engine: &mut comptoir_engine::Engine, _| {
            let mut shown = state.lock().unwrap_or_else(PoisonError::into_inner);
            if shown.told.is_none() {
                let touched = touched(&mut shown.watch, &collection);
                shown.told = engine.look(&mut shown.live, &touched)?;
            }
            Ok(())
        };
        self.shop.with(look).await?;
        Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner).told.take())
    }

    fn concerns(&self, notice: &Notice) -> bool {
        match notice {
            Notice::Changed(record) => record.collection == self.collection || record.collection.as_str() == SCHEMAS,
            Notice::Refresh => true,
        }
    }
}

/// What has changed since the last look.
fn touched(watch: &mut Watch, collection: &Collection) -> Touched {
    let mut touched = Touched::Keys(BTreeSet::new());
    while let Some(notice) = watch.now() {
        match (notice, &mut touched) {
            (Notice::Changed(record), Touched::Keys(keys)) if record.collection == *collection => {
                keys.insert(record.key);
            }
            (Notice::Changed(record), _) if record.collection.as_str() != SCHEMAS => {}
            (_, touched) => *touched = Touched::All,
        }
    }
    touched
}
