//! The binary `comptoir-relay`. Holds what is the process's own, the allocator and its pages, and nothing else.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // The first byte touched in a huge page keeps 2 MiB in memory: an idle relay held 48 MiB with them, 13 without. Where
    // that is refused, it holds more.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    comptoir_engine::disk::sled::quiet_panics();
    comptoir_relay::cmd::main()
}
