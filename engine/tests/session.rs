//! What a device says to a relay, message by message, where the whole system would not show it: it comes out right either
//! way. Must not know how frames travel.

#![allow(clippy::unwrap_used)]

use comptoir_engine::change::Change;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::gate::Refusal;
use comptoir_engine::wire::batch::Batch;
use comptoir_engine::wire::message::{Ack, Entries, Refused, Role, Welcome};
use comptoir_engine::wire::{FromDevice, FromRelay};
use comptoir_engine::{Engine, FieldEdit, Mode, Now, RecordId, Settings, Timestamp, Value, WorkspaceId};
use rand::SeedableRng as _;

const NAMES: [&str; 3] = ["tea", "coffee", "milk"];
const NOW: Now = Now { wall: Timestamp { unix_ms: 1_700_000_000_000 }, monotonic_ms: 1 };

fn engine() -> Engine {
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    let (relay, token, device_name) = ("ws://relay".to_owned(), String::new(), "till".to_owned());
    let settings = Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name };
    Engine::create(Box::new(SimDisk::new()), "here", settings, &mut rng).unwrap()
}

/// All that is said now.
fn said(engine: &mut Engine) -> Vec<FromDevice> {
    let next = || engine.poll_message(NOW).unwrap();
    std::iter::from_fn(next).map(|frame| FromDevice::decode(&frame).unwrap()).collect()
}

fn hear(engine: &mut Engine, message: &FromRelay) {
    engine.handle_message(&message.encode().unwrap(), NOW).unwrap();
}

fn sell(engine: &mut Engine, price: i64) {
    for name in NAMES {
        let fields = [("price".to_owned(), Value::Int(price))].into();
        engine.commit(&[(RecordId::new("products", name).unwrap(), FieldEdit::Set(fields))], NOW).unwrap();
    }
}

/// Connects, is welcomed to a log through `tail`, and pushes what waits.
fn push(engine: &mut Engine, tail: u64) -> Vec<FromDevice> {
    engine.handle_connected(NOW);
    assert!(matches!(said(engine)[..], [FromDevice::Hello(_)]));
    let welcome = Welcome { epoch: [1; 16], tail, digest: [0; 32], role: Role::Editor };
    hear(engine, &FromRelay::Welcome(welcome));
    said(engine)
}

/// The changes of the pushes among what was said.
fn pushed(said: &[FromDevice]) -> Vec<(RecordId, Change)> {
    let batches = said.iter().filter_map(|message| match message {
        FromDevice::Push { batch, .. } => Some(Batch::decode(batch).unwrap()),
        _ => None,
    });
    let unpacked =
        batches.flat_map(|batch| batch.unpack(&WorkspaceId::new("shop").unwrap(), |_, _, _| None).unwrap().changes);
    unpacked.map(|(record, change)| (record, change.unwrap())).collect()
}

/// The same changes under other authors.
fn assert_parted(before: &[(RecordId, Change)], after: &[(RecordId, Change)]) {
    let actors = |changes: &[(RecordId, Change)], name| {
        let record = RecordId::new("products", name).unwrap();
        let of_record = changes.iter().filter(|(other, _)| *other == record);
        of_record.map(|(_, change)| change.parts().actor.clone()).collect::<Vec<_>>()
    };
    for name in NAMES {
        let (before, after) = (actors(before, name), actors(after, name));
        assert_eq!((before.len(), after.len()), (1, 1), "{name}");
        assert_ne!(before, after, "{name} goes on under another author");
    }
}

fn hang_up(engine: &mut Engine) {
    engine.handle_disconnected("parted", NOW, &mut rand::rngs::StdRng::seed_from_u64(2));
}

#[test]
fn all_forks_of_one_receipt_part_at_once() {
    let mut engine = engine();
    sell(&mut engine, 1);
    let before = pushed(&push(&mut engine, 0));
    let refused = |index| Refused { index, reason: Refusal::Forked };
    let refused = (0..before.len() as u32).map(refused).collect();
    hear(&mut engine, &FromRelay::Ack(Ack { push: 1, through: None, digest: None, refused }));
    hang_up(&mut engine);
    assert_parted(&before, &pushed(&push(&mut engine, 0)));
}

#[test]
fn all_forks_of_one_message_part_at_once() {
    let (mut engine, mut twin) = (engine(), engine());
    sell(&mut twin, 2);
    let twins = push(&mut twin, 0).into_iter().filter_map(|said| match said {
        FromDevice::Push { batch, .. } => Some(batch),
        _ => None,
    });
    let entries = Entries { batches: twins.collect(), through: 1, digest: None };
    sell(&mut engine, 1);
    let before = pushed(&push(&mut engine, 1));
    hear(&mut engine, &FromRelay::Entries(entries));
    for name in NAMES {
        let shown = engine.get(&RecordId::new("products", name).unwrap()).unwrap().unwrap();
        assert!(shown.fields.contains_key("price"));
    }
    hang_up(&mut engine);
    assert_parted(&before, &pushed(&push(&mut engine, 1)));
}

/// Connects with the place in a log that the device says it has, and is welcomed to the log `epoch` through `tail`.
fn greet(engine: &mut Engine, epoch: u8, tail: u64) -> Option<([u8; 16], u64)> {
    engine.handle_connected(NOW);
    let hello = said(engine);
    let [FromDevice::Hello(hello)] = &hello[..] else { panic!("{hello:?}") };
    hear(engine, &FromRelay::Welcome(Welcome { epoch: [epoch; 16], tail, digest: [9; 32], role: Role::Editor }));
    hello.cursor
}

#[test]
fn a_comparison_with_another_log_that_is_cut_short_leaves_no_place_in_the_first_one() {
    let mut engine = engine();
    engine.start(Mode::Both, NOW);
    assert_eq!(greet(&mut engine, 1, 3), None);
    hear(&mut engine, &FromRelay::Entries(Entries { batches: Vec::new(), through: 3, digest: None }));
    hang_up(&mut engine);
    // Another relay takes over. What it gives need not be in the first one's log.
    assert_eq!(greet(&mut engine, 2, 5), Some(([1; 16], 3)));
    assert!(matches!(said(&mut engine)[..], [FromDevice::Reconcile { .. }]));
    hang_up(&mut engine);
    assert_ne!(greet(&mut engine, 1, 3).map(|(epoch, _)| epoch), Some([1; 16]));
    assert!(matches!(said(&mut engine)[..], [FromDevice::Reconcile { .. }]), "compared with the first one too");
}

#[test]
fn who_has_pushed_and_heard_no_entry_has_a_place_all_the_same() {
    let mut engine = engine();
    engine.start(Mode::Both, NOW);
    sell(&mut engine, 1);
    assert!(!pushed(&push(&mut engine, 1)).is_empty());
    // Others' entries lie in front, and are lost with the connection.
    let ack = Ack { push: 1, through: None, digest: None, refused: Vec::new() };
    hear(&mut engine, &FromRelay::Ack(ack));
    hang_up(&mut engine);
    assert_eq!(greet(&mut engine, 1, 4), Some(([1; 16], 0)));
    assert!(said(&mut engine).is_empty(), "that log's entries are read from the first one on");
    hang_up(&mut engine);
    // A relay that has lost all is offered what the first one had a receipt for.
    greet(&mut engine, 2, 0);
    assert!(matches!(said(&mut engine)[..], [FromDevice::Reconcile { .. }]));
}

#[test]
fn others_entries_in_front_of_a_push_are_no_reason_to_compare_histories() {
    let mut engine = engine();
    let fields = [("name".to_owned(), Value::String("Tea".to_owned()))].into();
    engine.commit(&[(RecordId::new("products", "tea").unwrap(), FieldEdit::Set(fields))], NOW).unwrap();
    engine.start(Mode::Both, NOW);
    assert!(engine.wants_connection(NOW));
    engine.handle_connected(NOW);
    assert!(matches!(said(&mut engine)[..], [FromDevice::Hello(_)]));
    let welcome = Welcome { epoch: [1; 16], tail: 0, digest: [0; 32], role: Role::Editor };
    hear(&mut engine, &FromRelay::Welcome(welcome));
    assert!(matches!(said(&mut engine)[..], [FromDevice::Push { push: 1, .. }]));
    // Another device's entry took the first place: it is on its way, and this push stands behind it.
    hear(&mut engine, &FromRelay::Ack(Ack { push: 1, through: None, digest: None, refused: Vec::new() }));
    assert!(said(&mut engine).is_empty(), "nothing is known to differ");
}
