//! A shop's work on Comptoir and on SQLite, in one run on one disk; the results go into `docs/benchmarks.md`:
//! `cargo bench -p comptoir-benches --bench sqlite`.
#![allow(missing_docs, reason = "a bench stops at the first thing that fails")]

mod alone;
mod ours;
mod questions;
mod shop;
mod side;
mod table;
mod theirs;
mod timed;

use criterion::Criterion;
use questions::{lists, typed};
use shop::{LIST_PRODUCTS, Product, SALE_PRODUCTS, Till, products, turns};
use side::{SIDES, Side};
use std::path::Path;
use std::time::{Duration, Instant};

/// As in our own programs. SQLite takes the system's, as everywhere.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where the stores lie while they are measured: on the disk of the build.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");

/// Questions of each kind that both sides are asked before they are measured.
const COMPARED: usize = 300;

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
    let mut tills = SIDES.map(|side| (side, side.open(&side.folder(folder.path()))));
    compare(&mut tills, &products);
    drop(tills);
    measure(&mut criterion, folder.path(), &products);
    criterion.final_summary();
    let memory = SIDES.map(|side| alone::memory(side, &side.folder(folder.path())));
    table::write(&results, folder.path(), &memory);
}

type Tills = [(Side, Box<dyn Till>); 2];

/// Both sides answer the same questions the same way, or measuring them would say nothing. Products of one price stand in
/// an order of their own on each side, and of more than a search shows each shows others.
fn compare([(_, ours), (_, theirs)]: &mut Tills, products: &[Product]) {
    let prices = |list: &[Product]| list.iter().map(|product| product.price_cents).collect::<Vec<_>>();
    for list in turns(products).filter_map(lists(products)).take(COMPARED) {
        let (left, right) = (ours.list(&list), theirs.list(&list));
        assert_eq!(prices(&left), prices(&right), "{list:?}");
        assert_eq!(left.len(), LIST_PRODUCTS, "{list:?}");
    }
    for typed in turns(products).filter_map(typed).take(COMPARED) {
        let (left, right) = (ours.search(&typed), theirs.search(&typed));
        assert_eq!(left.len(), right.len(), "{typed:?}");
        assert!(!left.is_empty(), "{typed:?}");
    }
}

fn measure(criterion: &mut Criterion, folder: &Path, products: &[Product]) {
    let all: Vec<&Product> = turns(products).take(products.len()).collect();
    let mut reopen = criterion.benchmark_group(table::REOPEN);
    for side in SIDES {
        let dir = side.folder(folder);
        reopen.sample_size(10).bench_function(side.name(), |bench| {
            bench.iter_custom(|times| (0..times).map(|_| reopening(side, &dir, &all[0].id)).sum());
        });
    }
    reopen.finish();

    let mut tills = SIDES.map(|side| (side, side.open(&side.folder(folder))));
    let mut turn = all.iter().map(|product| product.id.as_str()).cycle();
    let mut sale = 0;
    on_both(criterion, &mut tills, table::EDIT, &mut |till| till.sell(turn.next().unwrap_or_default()));
    on_both(criterion, &mut tills, table::SALE, &mut |till| {
        let products: Vec<&str> = turn.by_ref().take(SALE_PRODUCTS).collect();
        sale += 1;
        till.sale(sale, &products);
    });
    on_both(criterion, &mut tills, table::GET, &mut |till| {
        std::hint::black_box(till.get(turn.next().unwrap_or_default()));
    });
    let asked: Vec<_> = all.iter().copied().filter_map(lists(products)).collect();
    let mut list = asked.iter().cycle();
    on_both(criterion, &mut tills, table::LIST, &mut |till| {
        std::hint::black_box(list.next().map(|list| till.list(list)));
    });
    let asked: Vec<_> = all.iter().copied().filter_map(typed).collect();
    let mut typed = asked.iter().cycle();
    on_both(criterion, &mut tills, table::SEARCH, &mut |till| {
        std::hint::black_box(typed.next().map(|typed| till.search(typed)));
    });

    let shown = all.iter().copied().find_map(lists(products)).unwrap_or_else(|| panic!("a list"));
    let mut live = criterion.benchmark_group(table::LIVE);
    for (side, till) in &mut tills {
        till.show(&shown);
        let ids: Vec<String> = till.list(&shown).into_iter().map(|product| product.id).collect();
        let mut sold = ids.iter().cycle();
        live.sample_size(20).bench_function(side.name(), |bench| {
            bench.iter_custom(|times| {
                (0..times).map(|_| hearing(till.as_mut(), sold.next().map_or("", String::as_str))).sum()
            });
        });
    }
    live.finish();
}

fn on_both(criterion: &mut Criterion, tills: &mut Tills, name: &str, work: &mut dyn FnMut(&mut dyn Till)) {
    let mut group = criterion.benchmark_group(name);
    group.measurement_time(Duration::from_secs(10));
    for (side, till) in tills {
        group.bench_function(side.name(), |bench| bench.iter(|| work(till.as_mut())));
    }
    group.finish();
}

/// How long it takes from the sale of a product until the list that shows it is right again.
fn hearing(till: &mut dyn Till, product: &str) -> Duration {
    till.sell(product);
    let began = Instant::now();
    let news = std::hint::black_box(till.news());
    let took = began.elapsed();
    assert!(news.iter().any(|other| other.id == product), "it is shown");
    took
}

/// How long it takes until a product of a closed store is read.
fn reopening(side: Side, dir: &Path, product: &str) -> Duration {
    let began = Instant::now();
    let mut till = side.open(dir);
    std::hint::black_box(till.get(product));
    began.elapsed()
}
