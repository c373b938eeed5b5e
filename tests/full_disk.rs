//! A disk that is full: an edit or a push that cannot be kept is refused, not half kept; what was saved before is safe; and
//! when there is room again the same processes go on.

use comptoir_tests::device::Device;
use comptoir_tests::relay::Relay;
use comptoir_tests::small_disk::{fill, on_small_disk};
use comptoir_tests::wait;
use serde_json::json;
use std::fs;

const WORKSPACE: &str = "corner-bar";
const DISK_MIB: u32 = 24;

/// Fields of three kilobytes that do not compress well.
fn large(number: u64) -> String {
    noisy(number, 250)
}

fn noisy(number: u64, places: u64) -> String {
    let noise = |place: u64| (number * 7_919 + place * place * 104_729).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let text: String = (0..places).map(|place| format!("{:011x}", noise(place))).collect();
    json!({"note": text}).to_string()
}

#[test]
fn a_device_on_a_full_disk_refuses_edits_and_goes_on_when_there_is_room() {
    on_small_disk("a_device_on_a_full_disk_refuses_edits_and_goes_on_when_there_is_room", DISK_MIB, |folder| {
        let device = Device::init(&folder.join("till"), WORKSPACE, "ws://127.0.0.1:1", "");
        let mut saved = Vec::new();
        let put = |saved: &mut Vec<String>, number: u64| {
            let outcome = device.run(&["put", "notes", &number.to_string(), &large(number)]);
            if outcome.code == Some(0) {
                saved.push(number.to_string());
                return None;
            }
            Some(outcome.failure())
        };
        (0..5).for_each(|number| assert_eq!(put(&mut saved, number), None));
        let filler = fill(folder, 0);
        for number in 5..10 {
            let line = put(&mut saved, number).expect("there is no room");
            assert!(line.contains("full") && line.contains("free some space"), "{line}");
            // Reading goes on, in new processes too.
            assert_eq!(device.get("notes", "0").to_string(), large(0));
            assert_eq!(device.status()["total_records"], 5);
        }
        fs::remove_file(filler).expect("there is room again");
        assert_eq!(put(&mut saved, 1_000), None);
        for key in &saved {
            assert_eq!(device.get("notes", key).to_string(), large(key.parse().expect("a number")), "{key}");
        }
        // Of the edit that was refused nothing may be left but all or nothing.
        assert!(device.status()["total_records"].as_u64().expect("a count") <= saved.len() as u64 + 1);
    });
}

#[test]
fn a_relay_on_a_full_disk_acknowledges_nothing_it_cannot_keep_and_goes_on_when_there_is_room() {
    let test = "a_relay_on_a_full_disk_acknowledges_nothing_it_cannot_keep_and_goes_on_when_there_is_room";
    on_small_disk(test, DISK_MIB, |folder| {
        // More than the relay's journal takes.
        let larger = |number| noisy(number, 8_000);
        let elsewhere = tempfile::tempdir().expect("a folder");
        let mut relay = Relay::start(&folder.join("relay"));
        let token = relay.token(WORKSPACE);
        let device = |name: &str| Device::init(&elsewhere.path().join(name), WORKSPACE, &relay.url(), &token);
        let (writer, reader) = (device("writer"), device("reader"));
        writer.ok(&["put", "notes", "first", &large(0)]);
        writer.sync();
        let filler = fill(folder, 0);
        let mut number = 0;
        let line = wait::until("a push that finds no room", || {
            number += 1;
            writer.ok(&["put", "notes", &number.to_string(), &larger(number)]);
            let outcome = writer.run(&["sync", "--timeout", "5s"]);
            (outcome.code != Some(0)).then(|| outcome.failure())
        });
        assert!(line.contains("cannot store anything at the moment"), "{line}");
        assert!(writer.status()["pending"].as_u64().expect("a count") >= 1, "it waits in the outbox");
        assert!(relay.is_alive(), "the relay serves on: {}", relay.stderr());
        // Whoever reads is served all the same.
        reader.sync();
        assert_eq!(reader.get("notes", "first").to_string(), large(0));

        fs::remove_file(filler).expect("there is room again");
        wait::until("a push that is kept", || (writer.run(&["sync", "--timeout", "5s"]).code == Some(0)).then_some(()));
        assert!(relay.is_alive());
        relay.kill();
        relay.restart();
        reader.sync();
        assert_eq!(reader.get("notes", "first").to_string(), large(0));
        for number in 1..=number {
            assert_eq!(reader.get("notes", &number.to_string()).to_string(), larger(number), "{number}");
        }
        assert_eq!(reader.digest(), writer.digest());
    });
}
