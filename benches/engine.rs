//! The device's hot steps: a durable edit, a sale, a read, a bulk load. `cargo bench -p comptoir-benches`.
#![allow(missing_docs, reason = "a bench stops at the first thing that fails")]

use comptoir_benches::{NOW, engine, product, record};
use comptoir_engine::FieldEdit;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

fn steps(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path()).unwrap();
    for chunk in (0..10_000).collect::<Vec<u64>>().chunks(500) {
        let edits: Vec<_> = chunk.iter().map(|index| (record(*index).unwrap(), product(*index))).collect();
        engine.commit(&edits, NOW).unwrap();
    }
    let mut next = 0u64;
    let mut turn = move || {
        next = (next + 7919) % 10_000;
        record(next).unwrap()
    };
    criterion.bench_function("durable sale (increment, flushed)", |bench| {
        bench.iter(|| {
            let sale = FieldEdit::Increment { field: "stock".to_owned(), by: -1 };
            engine.commit(&[(turn(), sale)], NOW).unwrap()
        });
    });
    criterion.bench_function("read one of 10,000", |bench| bench.iter(|| engine.get(&turn()).unwrap()));
}

fn bulk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bulk");
    group.throughput(Throughput::Elements(500)).sample_size(20);
    group.bench_function("500 new records in one transaction", |bench| {
        let edits: Vec<_> = (0..500).map(|index| (record(index).unwrap(), product(index))).collect();
        let fresh = || {
            let dir = tempfile::tempdir().unwrap();
            (engine(dir.path()).unwrap(), dir)
        };
        let commit = |(mut engine, dir): (comptoir_engine::Engine, tempfile::TempDir)| {
            engine.commit(&edits, NOW).unwrap();
            (engine, dir)
        };
        bench.iter_batched(fresh, commit, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, steps, bulk);
criterion_main!(benches);
