//! When an index is used, made and cleared, across crashes too, and which one suits a question.

use super::{NOW, agrees, build, fields, filled, index_of, open, parse, put, set_indexes, text, things};
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::{Disk as _, DiskError};
use comptoir_engine::store::{Sorted, Store};
use comptoir_engine::wire::Style;
use comptoir_engine::{FieldEdit, Query, RecordId, Settings, Value, WorkspaceId};
use rand::SeedableRng as _;

fn index_rows(disk: &SimDisk) -> usize {
    disk.range(b"i", b"j", usize::MAX).unwrap().len()
}

#[test]
fn an_index_is_used_once_it_is_complete_and_a_crash_in_between_costs_nothing() {
    let disk = SimDisk::new();
    let mut store = filled(&disk, 1_500);
    set_indexes(&mut store, &[("by_b", "b, a"), ("search", "words(b)")]);
    let query = parse("b = 'tea' and a >= 700").order("a").limit(50);
    let search = Query::all().search("MI cho").limit(7);
    let mut pieces = 0;
    loop {
        agrees(&store, &query);
        agrees(&store, &search);
        // Each piece is lost once, half done or not yet durable, and the store opened again.
        disk.fail_next(2 + pieces % 3, DiskError::Io { doing: "writing", cause: "unplugged".to_owned() });
        let _ = store.index_step();
        disk.crash(usize::from(pieces % 2 == 0));
        store = open(&disk);
        put(&mut store, &format!("k{pieces:05}"), fields([("a", Value::Int(10_000 - pieces as i64))]));
        if !store.index_step().unwrap() {
            break;
        }
        let both = index_of(&store, &search).is_some() && index_of(&store, &query).is_some();
        assert!(!both, "half an index is none");
        pieces += 1;
        assert!(pieces < 100, "the build goes on where it was");
    }
    agrees(&store, &query);
    agrees(&store, &search);
    let how = store.explain(&things(), &query).unwrap();
    assert_eq!((how.index.as_deref(), how.sorted), (Some("by_b"), Sorted::Nothing));
    assert_eq!((how.rows, how.records, how.found), (50, 50, 50), "{how:?}");
    assert!(how.rechecked.is_empty(), "{how:?}");
    assert_eq!(index_of(&store, &search).as_deref(), Some("search"));
}

#[test]
fn an_index_that_the_schema_drops_is_cleared_and_a_crash_in_between_leaves_nothing() {
    let disk = SimDisk::new();
    let mut store = filled(&disk, 3_000);
    set_indexes(&mut store, &[("by_b", "b"), ("by_a", "a")]);
    build(&mut store);
    // And the copies of the views beside them.
    let all = index_rows(&disk);
    set_indexes(&mut store, &[("by_a", "a")]);
    assert!(store.index_step().unwrap());
    disk.crash(0);
    let mut store = open(&disk);
    build(&mut store);
    assert_eq!(index_rows(&disk), all / 3 * 2);
    set_indexes(&mut store, &[]);
    build(&mut store);
    assert_eq!(index_rows(&disk), 0);
}

#[test]
fn deleted_records_are_in_no_index() {
    let disk = SimDisk::new();
    let mut store = filled(&disk, 30);
    set_indexes(&mut store, &[("by_b", "b"), ("search", "words(b)")]);
    build(&mut store);
    for number in 0..30 {
        let record = RecordId::new("things", &format!("k{number:05}")).unwrap();
        store.commit_local(&[(record, FieldEdit::Delete)], NOW).unwrap();
    }
    assert_eq!(index_rows(&disk), 3, "what says that there are two indexes, and copies of the views");
    agrees(&store, &Query::all());
    agrees(&store, &Query::all().with_deleted());
}

#[test]
fn a_record_reads_the_same_however_long_it_is_and_whatever_became_of_it() {
    let disk = SimDisk::new();
    let mut store = filled(&disk, 20);
    set_indexes(&mut store, &[("by_b", "b")]);
    build(&mut store);
    let record = RecordId::new("things", "k00003").unwrap();
    for bytes in [10, 2_000, 2_100, 5_000, 3, 20_000] {
        let edit = FieldEdit::Set(fields([("b", text("here")), ("note", text(&"x".repeat(bytes)))]));
        store.commit_local(&[(record.clone(), edit)], NOW).unwrap();
        for edit in [FieldEdit::Delete, FieldEdit::Restore] {
            store.commit_local(&[(record.clone(), edit)], NOW).unwrap();
            agrees(&store, &parse("b = 'here'"));
            let listed = store.list(&record.collection, None, 100).unwrap();
            let listed = listed.into_iter().find(|(key, _)| *key == record.key).map(|(_, view)| view);
            assert_eq!(store.get(&record).unwrap(), listed, "{bytes}");
        }
        store = open(&disk);
    }
}

#[test]
fn a_record_and_its_rows_in_indexes_are_one_commit() {
    let disk = SimDisk::new();
    let mut store = filled(&disk, 20);
    set_indexes(&mut store, &[("by_b", "b"), ("search", "words(b)")]);
    build(&mut store);
    for calls in 0..12 {
        disk.fail_next(calls, DiskError::Full { doing: "writing" });
        let record = RecordId::new("things", "k00003").unwrap();
        let _ = store.commit_local(&[(record, FieldEdit::Set(fields([("b", text(&format!("new {calls}")))])))], NOW);
        disk.crash(calls as usize % 2);
        store = open(&disk);
        for query in [parse("b starts with 'new'"), Query::all().search("new"), Query::all().search("tea")] {
            agrees(&store, &query);
        }
    }
}

#[test]
fn a_schema_that_arrives_by_sync_builds_its_indexes() {
    let mut one = filled(&SimDisk::new(), 600);
    set_indexes(&mut one, &[("by_b", "b, a")]);
    let mut rng = rand::rngs::StdRng::seed_from_u64(2);
    let (relay, token, device_name) = (String::new(), String::new(), "phone".to_owned());
    let settings = Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name };
    let mut other = Store::create(Box::new(SimDisk::new()), "there", settings, &mut rng).unwrap();
    let mut from = 0;
    while let Some(outgoing) = one.outgoing(from, Style::Compact).unwrap() {
        other.apply_remote(&[outgoing.batch], None, NOW).unwrap();
        from = outgoing.through + 1;
    }
    let query = parse("b = 'tea'").order_desc("a").limit(10);
    assert_eq!(index_of(&other, &query), None);
    assert!(other.has_index_work());
    build(&mut other);
    assert_eq!(index_of(&other, &query).as_deref(), Some("by_b"));
    agrees(&other, &query);
    build(&mut one);
    assert_eq!(one.query(&things(), &query), other.query(&things(), &query));
}

#[test]
fn the_plan_fits_the_question() {
    let disk = SimDisk::new();
    let mut store = filled(&disk, 2_000);
    set_indexes(&mut store, &[("by_a", "a"), ("by_b", "b"), ("by_ba", "b, a"), ("search", "words(b)")]);
    build(&mut store);
    for (query, index, sorted) in [
        (parse("a = 7"), Some("by_a"), Sorted::Nothing),
        (parse("a = 7 and b = 'tea'"), Some("by_ba"), Sorted::Nothing),
        (parse("b = 'tea'").order("a"), Some("by_ba"), Sorted::Nothing),
        (parse("b = 'tea'").order_desc("a"), Some("by_ba"), Sorted::Nothing),
        (parse("b = 'tea'"), Some("by_b"), Sorted::Nothing),
        (parse("b in ('tea', 'milk')").order("b").order("a"), Some("by_ba"), Sorted::Nothing),
        (Query::all().order("b").order_desc("a").limit(5), Some("by_b"), Sorted::Groups),
        (Query::all().order_desc("a").limit(5), Some("by_a"), Sorted::Nothing),
        (Query::all().order("c").limit(5), None, Sorted::All),
        (parse("a != 7"), None, Sorted::Nothing),
        (parse("_key starts with 'k0001'"), None, Sorted::Nothing),
        (Query::all().search("caf cre"), Some("search"), Sorted::Nothing),
        (parse("b contains 'mint'").order("a").limit(3), Some("search"), Sorted::All),
        // So many fit that the first ones are found sooner by reading in order.
        (parse("a > 3").limit(5), None, Sorted::Nothing),
        (parse("a > 3 and a < 12").limit(5), Some("by_a"), Sorted::All),
    ] {
        agrees(&store, &query);
        let how = store.explain(&things(), &query).unwrap();
        assert_eq!((how.index.as_deref(), how.sorted), (index, sorted), "{query:?}: {how:?}");
    }
    let how = store.explain(&things(), &parse("_key starts with 'k0001'")).unwrap();
    assert_eq!((how.records, how.found), (10, 10));
}
