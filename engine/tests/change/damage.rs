//! Changes with bytes flipped, set, removed, added or cut off: no panic, and what is accepted is its own encoding.

use super::inverse::{history, step};
use super::{body, cheap, chunk};
use comptoir_engine::change::Change;
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Mutation {
    Flip(prop::sample::Index, u8),
    Set(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Cut(prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = || any::<prop::sample::Index>();
    prop_oneof![
        4 => (at(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => at().prop_map(Mutation::Remove),
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        1 => at().prop_map(Mutation::Cut),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutations: &[Mutation]) {
    for mutation in mutations {
        let length = bytes.len().max(1);
        match mutation {
            Mutation::Flip(at, bit) => bytes.iter_mut().skip(at.index(length)).take(1).for_each(|b| *b ^= 1 << bit),
            Mutation::Set(at, byte) => bytes.iter_mut().skip(at.index(length)).take(1).for_each(|b| *b = *byte),
            Mutation::Remove(at) if !bytes.is_empty() => drop(bytes.remove(at.index(length))),
            Mutation::Remove(_) => {}
            Mutation::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), *byte),
            Mutation::Cut(at) => bytes.truncate(at.index(length)),
        }
    }
}

/// The body of a chunk that is right.
fn body_of(chunk: &[u8]) -> Vec<u8> {
    let prefix = chunk[9..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
    chunk[9 + prefix..].to_vec()
}

fn strict(bytes: &[u8]) {
    if let Ok(change) = cheap(bytes) {
        assert_eq!(change.bytes(), bytes);
        let again = Change::build(change.parts().clone()).unwrap();
        assert_eq!(again.bytes(), bytes);
        assert_eq!(again, change);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, ..ProptestConfig::default() })]

    #[test]
    fn damaged_changes_never_panic_and_what_is_accepted_is_its_own_encoding(
        steps in vec(step(), 1..12),
        mutations in vec(mutation(), 1..6),
        which in any::<prop::sample::Index>(),
    ) {
        let changes: Vec<_> = history(&steps).iter().flat_map(|doc| doc.get_changes(&[])).collect();
        prop_assume!(!changes.is_empty());
        let mut bytes = changes[which.index(changes.len())].raw_bytes().to_vec();
        let mut body = body_of(&bytes);
        mutate(&mut bytes, &mutations);
        strict(&bytes);
        mutate(&mut body, &mutations);
        strict(&chunk(1, &body));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        strict(&bytes);
        strict(&chunk(1, &bytes));
        strict(&chunk(1, &body(&bytes)));
    }
}
