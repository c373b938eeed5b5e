//! One workspace that grows tenfold and tenfold again: the real programs on real files and sockets. Must not know what they do.

use crate::curve::{Chart, Line};
use crate::process::{cpu_seconds, disk_bytes, machine};
use comptoir_tests::device::Device;
use comptoir_tests::memory::resident_bytes;
use comptoir_tests::proxy::Proxy;
use comptoir_tests::relay::Relay;
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

const WORKSPACE: &str = "shop";
const FIRST: u64 = 10_000;
const MIB: f64 = 1048576.0;

/// What one size costs.
struct Size {
    records: f64,
    import: f64,
    push: f64,
    push_bytes: f64,
    pull: f64,
    pull_cpu: f64,
    reconnect: f64,
    reconnect_bytes: f64,
    relay_memory: f64,
    relay_restarted: f64,
    relay_start: f64,
    relay_disk: f64,
    device_disk: f64,
}

fn write_products(path: &Path, records: u64) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    let of = |names: &[&'static str], place: u64| names[place as usize % names.len()];
    for number in 0..records {
        let (colour, thing) =
            (of(&["Red", "Blue", "Small", "Quick"], number), of(&["Lamp", "Mug", "Shelf"], number / 4));
        let product = json!({
            "id": format!("{number:07}"),
            "name": format!("{colour} {thing} {number}"),
            "department": of(&["GROCERY", "PRODUCE", "DRUG GM", "MEAT"], number * 7919),
            "price_cents": number * 7919 % 10_000,
            "supplier": {"name": format!("Supplier {}", number % 97), "phone": format!("+33 1 {number:08}")},
        });
        writeln!(file, "{product}").expect("a line");
    }
    file.flush().expect("a file");
}

fn timed(run: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    run();
    begun.elapsed().as_secs_f64()
}

fn measure(records: u64) -> Size {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let products = path("products.ndjson");
    write_products(&products, records);
    let mut relay = Relay::start(&path("relay"));
    let token = relay.token(WORKSPACE);
    let proxy = Proxy::start(relay.address());
    let office = Device::init(&path("office"), WORKSPACE, &proxy.url(), &token);
    let phone = Device::init(&path("phone"), WORKSPACE, &relay.url(), &token);
    let products = products.to_str().expect("a path");
    let import = timed(|| drop(office.ok(&["import", products, "--collection", "products", "--key", "id"])));
    let sync = |device: &Device| drop(device.ok(&["sync", "--timeout", "15m"]));
    let push = timed(|| sync(&office));
    let push_bytes = proxy.up() as f64;
    let relay_memory = resident_bytes(relay.process()) as f64;
    let cpu = cpu_seconds(relay.process());
    let pull = timed(|| sync(&phone));
    let pull_cpu = cpu_seconds(relay.process()) - cpu;
    assert_eq!(office.digest(), phone.digest());
    office.sync();
    let before = proxy.up() + proxy.down();
    let mut times: Vec<f64> = (0..5).map(|_| timed(|| office.sync())).collect();
    times.sort_by(f64::total_cmp);
    let reconnect_bytes = (proxy.up() + proxy.down() - before) as f64 / 5.0;
    relay.terminate();
    let relay_disk = disk_bytes(&path("relay")) as f64;
    let relay_start = timed(|| relay.restart());
    phone.sync();
    let relay_restarted = resident_bytes(relay.process()) as f64;
    Size {
        records: records as f64,
        import,
        push,
        push_bytes,
        pull,
        pull_cpu,
        reconnect: times[2] * 1e3,
        reconnect_bytes,
        relay_memory: relay_memory / MIB,
        relay_restarted: relay_restarted / MIB,
        relay_start: relay_start * 1e3,
        relay_disk: relay_disk / MIB,
        device_disk: disk_bytes(&path("phone")) as f64 / MIB,
    }
}

/// From 10,000 records to so many.
pub(crate) fn grow(records_max: u64) {
    println!("\nMachine: {}.\n", machine());
    println!(
        "| records | import, s | first push, s | pushed, MB | cold pull, s | of it the relay's CPU, s | open, connect, up to date, ms | bytes of that | relay, MiB | restarted, MiB | relay's start, ms | relay's disk, MiB | device's disk, MiB |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let mut sizes = Vec::new();
    let mut records = FIRST;
    while records <= records_max {
        let size = measure(records);
        println!(
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} | {:.1} | {:.1} | {:.0} | {:.1} | {:.1} |",
            size.records,
            size.import,
            size.push,
            size.push_bytes / 1e6,
            size.pull,
            size.pull_cpu,
            size.reconnect,
            size.reconnect_bytes,
            size.relay_memory,
            size.relay_restarted,
            size.relay_start,
            size.relay_disk,
            size.device_disk
        );
        sizes.push(size);
        records *= 10;
    }
    let line = |name: &'static str, of: fn(&Size) -> f64| Line {
        name,
        points: sizes.iter().map(|size| (size.records, of(size))).collect(),
    };
    let linear = vec![
        line("import", |size| size.import),
        line("first push", |size| size.push),
        line("cold pull", |size| size.pull),
    ];
    let title = "One workspace that grows: what has to grow with it";
    Chart { name: "growth", title, across: "records", up: "seconds", lines: linear }.draw();
    let constant = vec![
        line("reconnect, bytes", |size| size.reconnect_bytes),
        line("reconnect, ms", |size| size.reconnect),
        line("relay restarted, MiB", |size| size.relay_restarted),
    ];
    let title = "One workspace that grows: what should not grow with it";
    Chart { name: "constant", title, across: "records", up: "bytes, ms, MiB", lines: constant }.draw();
}
