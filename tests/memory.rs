//! What the relay's process holds in memory while nothing happens.

use comptoir_tests::memory;
use comptoir_tests::relay::Relay;

/// In bytes. With sled's unused histograms and huge pages it was twice that.
const IDLE_BYTES_MAX: u64 = 24 << 20;

#[test]
#[cfg(target_os = "linux")]
fn an_idle_relay_holds_little() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let idle_bytes = memory::resident_bytes(relay.process());
    assert!(idle_bytes < IDLE_BYTES_MAX, "{idle_bytes} bytes");
}
