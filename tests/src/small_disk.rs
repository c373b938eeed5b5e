//! A folder on a file system of a few megabytes, for tests of a full disk: the test runs itself again where such a file
//! system is mounted. Must not know what fills it.

use std::path::{Path, PathBuf};
use std::process::Command;

const INSIDE: &str = "COMPTOIR_SMALL_DISK";

/// Runs `check` with a folder on a file system of `mib` MiB that nobody else sees. `test` is the calling test's full name.
/// Fails loudly where the system lets nobody mount.
pub fn on_small_disk(test: &str, mib: u32, check: impl FnOnce(&Path)) {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return check(&PathBuf::from(folder));
    }
    let folder = tempfile::tempdir().expect("a folder to mount on");
    let mut command = Command::new("unshare");
    command.args(namespace()).args(["sh", "-c", "mount -t tmpfs -o size=\"$1\"m tmpfs \"$0\" && shift && exec \"$@\""]);
    command.arg(folder.path()).arg(mib.to_string()).arg(std::env::current_exe().expect("the test has a path"));
    let status = command.args(["--exact", test, "--nocapture"]).env(INSIDE, folder.path()).status();
    assert!(status.is_ok_and(|status| status.success()), "failed inside the small file system, see above");
}

/// How to get mounts of one's own here.
fn namespace() -> [&'static str; 2] {
    for way in [["--mount", "--map-root-user"], ["--mount", "--propagation=private"]] {
        let tried = Command::new("unshare").args(way).arg("true").output();
        if tried.is_ok_and(|tried| tried.status.success()) {
            return way;
        }
    }
    panic!(
        "a test of a full disk mounts a small tmpfs, and this system allows it neither in a user namespace nor as root: \
         install util-linux (`unshare`) and allow unprivileged user namespaces (`sysctl -w \
         kernel.unprivileged_userns_clone=1`, and on Ubuntu `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`), \
         or run the tests as root"
    );
}

/// Takes all the room that is left in the file system of `folder`, but for `spare_bytes`. Returns the file to remove.
pub fn fill(folder: &Path, spare_bytes: u64) -> PathBuf {
    use std::io::Write;
    let path = folder.join("filler");
    let mut file = std::fs::File::create(&path).expect("a file");
    let block = [0x5a; 4096];
    let mut written = 0;
    while file.write_all(&block).is_ok() {
        written += block.len() as u64;
    }
    file.set_len(written.saturating_sub(spare_bytes)).expect("a shorter file");
    path
}
