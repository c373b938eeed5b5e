//! The harness of the whole-system tests: real binaries, real sockets, real files. Must not know what any one test checks.

pub mod backups;
pub mod bucket;
pub mod certificate;
pub mod device;
pub mod endpoint;
pub mod forge;
pub mod golden;
pub mod http;
pub mod memory;
pub mod metrics;
pub mod program;
pub mod proxy;
pub mod relay;
pub mod rest;
pub mod shop;
pub mod small_disk;
pub mod socket;
pub mod source;
pub mod steps;
pub mod wait;
