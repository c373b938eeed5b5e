//! The program `comptoir`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    comptoir_engine::disk::sled::quiet_panics();
    comptoir_engine::record::document::quiet_panics();
    comptoir::cmd::main().await
}
