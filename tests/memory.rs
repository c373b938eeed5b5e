//! What the relay's process holds in memory while nothing happens.

use comptoir_tests::memory;
use comptoir_tests::relay::Relay;

/// In bytes, the program's own pages left out, of which a debug build has many. With sled's unused histograms and huge pages it was
/// twice that; with REST's description as it is made, a quarter more.
const IDLE_BYTES_MAX: u64 = 11 << 20;

#[test]
#[cfg(target_os = "linux")]
fn an_idle_relay_holds_little() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let idle_bytes = memory::own_bytes(relay.process());
    assert!(idle_bytes < IDLE_BYTES_MAX, "{idle_bytes} bytes");
}
