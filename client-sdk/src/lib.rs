//! Comptoir's SDK: a shop's records on this device, usable without a network, merged with every other device's through
//! a relay.
//!
//! ```no_run
//! use comptoir::{Comptoir, Mode, Settings, WorkspaceId, json};
//! use std::{path::Path, time::Duration};
//!
//! # async fn example() -> Result<(), comptoir::Error> {
//! let shop = Comptoir::init(
//!     Path::new("till"),
//!     Settings {
//!         workspace: WorkspaceId::new("corner-shop")?,
//!         relay: "ws://127.0.0.1:7700".to_owned(),
//!         token: String::new(),
//!         device_name: "till".to_owned(),
//!     },
//! )
//! .await?;
//! shop.put("products", "tea", json::parse(r#"{"name": "Tea", "price_cents": 320}"#)?).await?;
//! shop.increment("products", "tea", "stock", -3).await?; // durable when it returns, with or without a network
//! shop.sync_once(Mode::Both, Duration::from_secs(30)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Layers, each using only those before it: `record` · `error text` · `machine` · `socket` · `worker` · `handle` · `cmd`.

#![deny(clippy::unwrap_used, clippy::expect_used)]

/// Whether a bug is planted here, for a simulation to find; without the feature that is never.
#[cfg(feature = "planted")]
macro_rules! planted {
    ($bug:ident) => {
        comptoir_engine::planted::planted() == Some(comptoir_engine::planted::Bug::$bug)
    };
}
#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

pub mod cmd;
pub mod error;
pub mod handle;
pub mod machine;
pub mod record;
mod socket;
mod text;
mod tls;
mod worker;

pub use comptoir_derive::{Field, Record};
pub use comptoir_engine::disk::{Copied, StoreKind};
pub use comptoir_engine::live::{LiveEvent, Step};
pub use comptoir_engine::query;
pub use comptoir_engine::record::json;
pub use comptoir_engine::record::schema::FieldType;
pub use comptoir_engine::{
    Author, ChangeHash, Collection, Committed, Conflict, DeviceId, Difference, Explanation, FieldEdit, Fields, History,
    HistoryPage, Key, Mode, Page, PageCursor, Query, QueryError, RecordId, Rival, Schema, SchemaError, Series,
    SeriesAudit, SeriesName, Settings, State, Tallied, Tally, Timestamp, TransactionId, Undone, Value, Version, View,
    WorkspaceId,
};
pub use error::Error;
pub use handle::{Comptoir, LiveQuery, Pairing, RecordPage, Watch};
pub use machine::Machine;
pub use record::{Bytes, Field, Record, RecordError};
pub use socket::Traffic;
pub use worker::{Notice, Status};

rust_i18n::i18n!("locales", fallback = "en");

/// The examples of a till in an app, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/app.md")]
pub struct App;

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// The pages' examples, as tests.
#[cfg(doctest)]
pub mod pages {
    #[doc = include_str!("../../docs/transactions.md")]
    pub struct Transactions;
    #[doc = include_str!("../../docs/history.md")]
    pub struct History;
    #[doc = include_str!("../../docs/schemas.md")]
    pub struct Schemas;
    #[doc = include_str!("../../docs/queries.md")]
    pub struct Queries;
}
