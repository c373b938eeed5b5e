//! Comptoir's relay: keeps each workspace's changes in one durable, ordered log and passes them on to its devices.
//!
//! Layers, each using only those before it: `text clock metrics` · `config catalog` · `auth audit` · `log logins limits` · `room lobby backup
//! tls` · `ws` · `service` · `feed` · `webhooks` · `control` · `rest` · `http` · `relay` · `cmd`. The log stands on `auth`, because nothing is read or appended
//! without a [`auth::Grant`].

/// Whether a bug is planted here, for a simulation to find; without the feature that is never.
#[cfg(feature = "planted")]
macro_rules! planted {
    ($($bug:ident),+) => {
        matches!(comptoir_engine::planted::planted(), Some($(comptoir_engine::planted::Bug::$bug)|+))
    };
}
#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($($bug:ident),+) => {
        false
    };
}

pub mod audit;
pub mod auth;
pub mod backup;
pub mod catalog;
pub mod clock;
pub mod cmd;
pub mod config;
pub mod control;
pub mod feed;
pub mod http;
pub mod limits;
pub mod lobby;
pub mod log;
pub mod logins;
pub mod metrics;
pub mod relay;
pub mod rest;
pub mod room;
pub mod service;
pub mod text;
pub mod tls;
pub mod webhooks;
pub mod ws;

rust_i18n::i18n!("locales", fallback = "en");
