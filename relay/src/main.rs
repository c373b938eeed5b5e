//! The binary `comptoir-relay`. Holds the allocator and nothing else.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    comptoir_engine::disk::sled::quiet_panics();
    comptoir_relay::cmd::main()
}
