//! Power cuts, failing calls and damaged files, below the real store of a device and the real log of a relay: real
//! processes on real files, of which nothing is known here but their calls and what they said.
//!
//! Layers, each using only those before it: `tape` · `drive` · `process` · `sales` · `device relay` · `cuts failures damage`.

#![cfg(target_os = "linux")]

pub mod cuts;
pub mod damage;
pub mod device;
pub mod drive;
pub mod failures;
pub mod kills;
pub mod process;
pub mod relay;
pub mod sales;
pub mod tape;
