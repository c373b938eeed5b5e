//! Many devices in one process, each the SDK's own loop over a store in memory, as a hundred phones on one disk would measure
//! that disk. Must not know a folder.

use crate::control::{Ask, emit, now_ms};
use crate::device::{products, settings};
use crate::product;
use comptoir::machine::{self, Connecting, Machine};
use comptoir::{Comptoir, Error, Mode, Notice, State, Timestamp, Value};
use comptoir_engine::disk::Opened;
use comptoir_engine::disk::sim::SimDisk;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A device without a disk.
struct Thin {
    disk: SimDisk,
    name: String,
}

impl Machine for Thin {
    fn open(&mut self, _make: bool) -> Result<Opened, Error> {
        self.disk.reopen();
        Ok(Opened { disk: Box::new(self.disk.clone()), identity: self.name.clone() })
    }

    fn wall(&self) -> Timestamp {
        machine::system_time()
    }

    fn rng(&mut self) -> StdRng {
        StdRng::from_rng(&mut rand::rng())
    }

    fn connect(&self, host: String, port: u16) -> Connecting {
        machine::tcp(host, port)
    }
}

/// Those that stay.
#[derive(Default)]
pub(crate) struct Crowd {
    devices: Vec<Comptoir>,
}

impl Crowd {
    /// `idle` and `devices`: k devices of the shop join, and stay. Who is connected follows the shop: there is no less.
    pub(crate) async fn join(&mut self, ask: &Ask) {
        let (count, port) = (ask.number("k"), ask.number("target"));
        let told = ask.name() == "devices";
        let seen = Rc::<RefCell<BTreeMap<i64, u64>>>::default();
        for number in 0..count {
            let name = format!("thin {} {number}", std::process::id());
            let settings = settings(port, ask.text("ticket"), &name);
            let (shop, work) = Comptoir::on(Thin { disk: SimDisk::new(), name }, Some(settings)).expect("a store");
            tokio::task::spawn_local(work);
            shop.stay_live(Mode::Both).await.expect("a session");
            let mut statuses = shop.statuses();
            while shop.status().await.expect("a status").engine.state != State::UpToDate {
                statuses.changed().await.expect("a device");
            }
            if told {
                tokio::task::spawn_local(tell(shop.clone(), count, seen.clone()));
            }
            self.devices.push(shop);
        }
    }
}

/// Tells the harness when all devices of this process have shown a price.
async fn tell(shop: Comptoir, devices: u64, seen: Rc<RefCell<BTreeMap<i64, u64>>>) {
    let mut watch = shop.watch_collection(&products());
    while let Some(notice) = watch.next().await {
        let Notice::Changed(record) = notice else { continue };
        let view = shop.get(product::COLLECTION, record.key.as_str()).await.expect("a record").expect("a product");
        let Some(Value::Int(price)) = view.fields.get("price") else { continue };
        let mut seen = seen.borrow_mut();
        let count = seen.entry(*price).or_default();
        *count += 1;
        if *count == devices {
            emit(&json!({"ev": "fan", "value": price, "t": now_ms()}));
        }
    }
}
