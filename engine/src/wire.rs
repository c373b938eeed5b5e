//! What device and relay say to each other: messages and batches of changes. Must not know sockets, storage or records.

pub mod batch;
pub mod message;

pub use batch::{Batch, BatchFault, Item, Style};
pub use message::{FromDevice, FromRelay};
