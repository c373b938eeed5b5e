//! Records and transactions as large as they may be.

use super::{NOW, record, store, tea};
use comptoir_engine::store::StoreError;
use comptoir_engine::wire::Style;
use comptoir_engine::wire::message::{FRAME_BYTES_MAX, FromDevice};
use comptoir_engine::{FieldEdit, Fields, Value};
use rand::SeedableRng as _;

#[test]
fn a_record_with_hundreds_of_lists_can_be_imported_and_edited() {
    let fields: Fields =
        (0..600).map(|index| (format!("list {index}"), Value::List(vec![Value::Int(index)]))).collect();
    let (mut one, mut two) = (store(1), store(2));
    for store in [&mut one, &mut two] {
        store.commit_local(&[(tea(), FieldEdit::Import(fields.clone()))], NOW).unwrap();
    }
    assert_eq!(one.digest(), two.digest());
    one.commit_local(&[(record(1), FieldEdit::Set(fields.clone()))], NOW).unwrap();
    assert_eq!(one.get(&record(1)).unwrap().unwrap().fields, fields);
    let mut next = 0;
    while let Some(outgoing) = one.outgoing(next, Style::Compact).unwrap() {
        next = outgoing.through + 1;
        two.apply_remote(&[outgoing.batch], None, NOW).unwrap();
    }
    assert_eq!(one.digest(), two.digest());
    assert_eq!(two.quarantined(), 0);
}

#[test]
fn a_transaction_too_large_for_one_frame_is_refused_and_the_largest_one_fits() {
    let mut one = store(1);
    let bytes = |count: usize| {
        let mut blob = vec![0; count];
        rand::Rng::fill_bytes(&mut rand::rngs::StdRng::seed_from_u64(count as u64), &mut blob);
        FieldEdit::Set([("blob".to_owned(), Value::Bytes(blob))].into())
    };
    let error = one.commit_local(&[(record(0), bytes(500_000)), (record(1), bytes(500_000))], NOW).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { limit: "bytes", .. }), "{error}");
    assert_eq!(one.records(), 0);
    one.commit_local(&[(record(0), bytes(450_000)), (record(1), bytes(450_000))], NOW).unwrap();
    for style in [Style::Compact, Style::Explicit] {
        let batch = one.outgoing(0, style).unwrap().unwrap().batch;
        let frame = FromDevice::Push { push: u64::MAX, offered: true, batch }.encode().unwrap();
        assert!(frame.len() <= FRAME_BYTES_MAX, "{} bytes", frame.len());
    }
}
