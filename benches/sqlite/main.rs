//! A shop's work on Comptoir and on SQLite, in one run on one disk; the results go into `docs/benchmarks.md`:
//! `cargo bench -p comptoir-benches --bench sqlite`.
#![allow(missing_docs, reason = "a bench stops at the first thing that fails")]

mod alone;
mod ours;
mod shop;
mod side;
mod table;
mod theirs;
mod timed;

use criterion::Criterion;
use shop::{SALE_PRODUCTS, Till, products, turns};
use side::{SIDES, Side};
use std::path::Path;
use std::time::{Duration, Instant};

/// As in the programs that are shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where the stores lie while they are measured: on the disk of the build.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");

fn main() {
    if alone::is_asked() {
        return alone::run();
    }
    // Without it this is a test run, and nothing is to be measured.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder = tempfile::tempdir_in(FOLDER).expect("a folder");
    let products = products();
    for side in SIDES {
        std::fs::create_dir(side.folder(folder.path())).expect("a folder");
        side.load(&side.folder(folder.path()), &products);
    }
    let results = Path::new(FOLDER).join("criterion");
    let mut criterion = Criterion::default().configure_from_args().output_directory(&results);
    let ids: Vec<&str> = turns(&products).take(products.len()).collect();
    measure(&mut criterion, folder.path(), &ids);
    criterion.final_summary();
    let memory = SIDES.map(|side| alone::memory(side, &side.folder(folder.path())));
    table::write(&results, folder.path(), &memory);
}

fn measure(criterion: &mut Criterion, folder: &Path, ids: &[&str]) {
    let mut reopen = criterion.benchmark_group(table::REOPEN);
    for side in SIDES {
        let dir = side.folder(folder);
        reopen.sample_size(10).bench_function(side.name(), |bench| {
            bench.iter_custom(|times| (0..times).map(|_| reopening(side, &dir, ids[0])).sum());
        });
    }
    reopen.finish();

    let mut tills = SIDES.map(|side| (side, side.open(&side.folder(folder))));
    let mut turn = ids.iter().copied().cycle();
    let mut sale = 0;
    let mut on_both = |name: &str, work: &mut dyn FnMut(&mut dyn Till)| {
        let mut group = criterion.benchmark_group(name);
        group.measurement_time(Duration::from_secs(10));
        for (side, till) in &mut tills {
            group.bench_function(side.name(), |bench| bench.iter(|| work(till.as_mut())));
        }
        group.finish();
    };
    on_both(table::EDIT, &mut |till| till.sell(turn.next().unwrap_or_default()));
    on_both(table::SALE, &mut |till| {
        let products: Vec<&str> = turn.by_ref().take(SALE_PRODUCTS).collect();
        sale += 1;
        till.sale(sale, &products);
    });
    on_both(table::GET, &mut |till| {
        std::hint::black_box(till.get(turn.next().unwrap_or_default()));
    });
}

/// How long it takes until a product of a closed store is read.
fn reopening(side: Side, dir: &Path, product: &str) -> Duration {
    let began = Instant::now();
    let mut till = side.open(dir);
    std::hint::black_box(till.get(product));
    began.elapsed()
}
