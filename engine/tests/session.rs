//! What a device says to a relay, message by message, where the whole system would not show it: it comes out right either
//! way. Must not know how frames travel.

#![allow(clippy::unwrap_used)]

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::wire::message::{Ack, Role, Welcome};
use comptoir_engine::wire::{FromDevice, FromRelay};
use comptoir_engine::{Engine, FieldEdit, Mode, Now, RecordId, Settings, Timestamp, Value, WorkspaceId};
use rand::SeedableRng as _;

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
