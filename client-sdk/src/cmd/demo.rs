//! `comptoir demo`: a relay, three devices, real grocery data, and a network that is cut. Must not know the engine.

mod cable;
mod relay;
mod shop;

use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use crate::worker::Status;
use cable::Cable;
use clap::Args;
use comptoir_engine::{Mode, Settings, State, WorkspaceId};
use futures_util::future::join_all;
use relay::Relay;
use serde_json::{Value as Json, json};
use shop::Shop;
use std::time::{Duration, Instant};

const WORKSPACE: &str = "demo";
/// How long the devices may take to agree.
const AGREE_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(super) struct Demo {}

/// One device of the demo.
struct Device {
    name: &'static str,
    shop: Comptoir,
    seconds: f64,
}

impl Demo {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let say = |key: &str, values: &[(&str, String)]| {
            if !output.json {
                output.line(&text_with(key, values));
            }
        };
        let dir = tempfile::tempdir().map_err(|cause| Error::Demo { what: cause.to_string() })?;
        let relay = Relay::start(&dir.path().join("relay")).await?;
        say("demo.relay", &[("address", relay.address.clone())]);
        let cable = Cable::lay(&relay.address).await?;
        let mut devices = Vec::new();
        for name in ["till-1", "till-2", "phone"] {
            let settings = Settings {
                workspace: WorkspaceId::new(WORKSPACE)?,
                relay: format!("ws://{}", cable.address),
                token: relay.token(WORKSPACE).await?,
                device_name: name.to_owned(),
            };
            devices.push(Device { name, shop: Comptoir::init(&dir.path().join(name), settings).await?, seconds: 0.0 });
        }
        let mut shop = Shop::read()?;
        shop.stock_up(&devices[0].shop).await?;
        say("demo.import", &[("records", shop.products.to_string())]);
        for device in &mut devices {
            device.shop.stay_live(Mode::Both).await?;
        }
        agree(&mut devices).await?;
        say("demo.first-sync", &[]);

        cable.cut();
        for device in &devices {
            wait_for(&device.shop, |status| status.engine.state == State::Offline).await?;
        }
        say("demo.cut", &[]);
        for (index, device) in devices.iter().enumerate() {
            let baskets = shop.sell(&device.shop, index, 3).await?;
            say("demo.sales", &[("device", device.name.to_owned()), ("baskets", baskets.to_string())]);
        }
        shop.quarrel(&devices[0].shop, &devices[1].shop, &devices[2].shop).await?;
        say("demo.quarrel", &[("product", shop.star_name.clone())]);
        show(&say, &shop, &devices).await?;

        cable.mend();
        say("demo.mend", &[]);
        agree(&mut devices).await?;
        show(&say, &shop, &devices).await?;
        for device in &devices {
            shop.check(device.name, &device.shop).await?;
        }
        let table = rows(&devices).await?;
        match output.json {
            true => output.line(&json!({"devices": table, "checked_stocks": shop.stocks()}).to_string()),
            false => print(output, &table, shop.stocks()),
        }
        for device in &devices {
            device.shop.shut_down().await?;
        }
        relay.stop().await
    }
}

/// What each device shows of the product they quarrel over.
async fn show(say: &impl Fn(&str, &[(&str, String)]), shop: &Shop, devices: &[Device]) -> Result<(), Error> {
    for device in devices {
        let seen = shop.star(&device.shop).await?;
        let status = device.shop.status().await?;
        let state = text(&format!("state.{}", super::status::word(status.engine.state)));
        let pending = status.engine.pending.to_string();
        say("demo.sees", &[("device", device.name.to_owned()), ("seen", seen), ("state", state), ("pending", pending)]);
    }
    Ok(())
}

async fn wait_for(shop: &Comptoir, is: impl Fn(&Status) -> bool) -> Result<(), Error> {
    let mut statuses = shop.statuses();
    let waiting = statuses.wait_for(|status| status.as_ref().is_some_and(&is));
    match tokio::time::timeout(AGREE_TIMEOUT, waiting).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(Error::ShutDown),
        Err(_) => Err(Error::Demo { what: format!("a device waited {} s in vain", AGREE_TIMEOUT.as_secs()) }),
    }
}

/// Waits until all devices are up to date with the same digest.
async fn agree(devices: &mut [Device]) -> Result<(), Error> {
    let began = Instant::now();
    loop {
        let mut digests = Vec::new();
        let waits = devices.iter_mut().map(|device| async {
            wait_for(&device.shop, |status| status.engine.state == State::UpToDate).await?;
            device.seconds = began.elapsed().as_secs_f64();
            Ok(())
        });
        join_all(waits).await.into_iter().collect::<Result<(), Error>>()?;
        for device in devices.iter() {
            let engine = device.shop.status().await?.engine;
            digests.push((engine.state, engine.digest));
        }
        if digests.iter().all(|seen| *seen == (State::UpToDate, digests[0].1)) {
            return Ok(());
        }
        if began.elapsed() > AGREE_TIMEOUT {
            return Err(Error::Demo { what: "the devices do not agree".to_owned() });
        }
        // A device that is up to date learns of a later edit by its next notice, or has it already.
        let mut statuses = devices[0].shop.statuses();
        let _ = tokio::time::timeout(Duration::from_millis(50), statuses.changed()).await;
    }
}

async fn rows(devices: &[Device]) -> Result<Vec<Json>, Error> {
    let mut rows = Vec::new();
    for device in devices {
        let status = device.shop.status().await?;
        rows.push(json!({
            "device": device.name,
            "records": status.engine.total_records,
            "pending": status.engine.pending,
            "digest": status.engine.digest.to_string(),
            "seconds": (device.seconds * 1000.0).round() / 1000.0,
            "bytes_up": status.traffic.sent_bytes,
            "bytes_down": status.traffic.received_bytes,
        }));
    }
    Ok(rows)
}

fn print(output: &Output, rows: &[Json], stocks: usize) {
    let columns = ["device", "records", "pending", "digest", "seconds", "bytes_up", "bytes_down"];
    let cell = |row: &Json, column: &str| match &row[column] {
        Json::String(text) => text.chars().take(12).collect::<String>(),
        other => other.to_string(),
    };
    let line = |cells: Vec<String>| cells.iter().map(|cell| format!("{cell:>16}")).collect::<String>();
    output.line("");
    output.line(&line(columns.iter().map(|column| text(&format!("demo.column.{column}"))).collect()));
    for row in rows {
        output.line(&line(columns.iter().map(|column| cell(row, column)).collect()));
    }
    output.line("");
    output.line(&text_with("demo.done", &[("stocks", stocks.to_string())]));
}
