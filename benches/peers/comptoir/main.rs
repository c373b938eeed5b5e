//! Comptoir in the peers' harness: `peer-comptoir server --port P --dir D` or `peer-comptoir client`, told what to do by JSON
//! lines. A record per product, `stock` a counter, the shop's own SDK and relay as they are shipped. Must not know the steps.

mod control;
mod crowd;
mod device;
mod product;
mod server;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("server") => server::run(),
        Some("client") => device::run(),
        _ => panic!("server or client"),
    }
}
