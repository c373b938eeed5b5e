//! Registers as they are stored behind the view of their record, which holds most values already. Must not know the row.

use super::{self as registers, Register, Registers};
use crate::codec::{Decode, Encode};
use crate::id::ActorId;
use crate::record::document::read::Scalar;
use crate::record::layout::{self, Kind};
use crate::record::view::{StoredValue, Value, View};

/// Registers without the values that the record's view shows.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct StoredRegisters(Vec<StoredRegister>);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
struct StoredRegister {
    key: String,
    /// The actor's place in the record's lineage.
    actor: u32,
    counter: u64,
    held: Held,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
enum Held {
    /// What the view shows at the key.
    Shown,
    Plain(StoredValue),
    Mark(u8),
    Increments(i64),
    /// A list whose items the view shows.
    List,
}

impl StoredRegisters {
    /// Of a record that shows `view`; `None` where `place` does not know an actor.
    pub fn new(registers: &Registers, view: &View, place: impl Fn(&ActorId) -> Option<u32>) -> Option<Self> {
        let stored = |(key, register): (&String, &Register)| {
            let held = match &register.held {
                registers::Held::List(items) if listed(view, key) == Some(items) => Held::List,
                registers::Held::List(_) => return None,
                registers::Held::Scalar(Scalar::Plain(value)) if shown(view, key) == Some(value) => Held::Shown,
                registers::Held::Scalar(Scalar::Plain(value)) => Held::Plain(StoredValue::from(value)),
                registers::Held::Scalar(Scalar::Mark(kind)) => Held::Mark(*kind as u8),
                registers::Held::Scalar(Scalar::Increments(sum)) => Held::Increments(*sum),
            };
            let actor = place(&register.actor)?;
            Some(StoredRegister { key: key.clone(), actor, counter: register.counter, held })
        };
        registers.by_key.iter().map(stored).collect::<Option<_>>().map(Self)
    }

    /// The registers; `None` where there are none, or where view and lineage do not give what they are made of.
    pub fn registers(self, view: &View, actor_at: impl Fn(u32) -> Option<ActorId>) -> Option<Registers> {
        let register = |StoredRegister { key, actor, counter, held }| {
            let held = match held {
                Held::Shown => registers::Held::Scalar(Scalar::Plain(shown(view, &key)?.clone())),
                Held::Plain(value) => registers::Held::Scalar(Scalar::Plain(value.value()?)),
                Held::Mark(mark) => registers::Held::Scalar(Scalar::Mark(Kind::from_bytes(&[mark])?)),
                Held::Increments(sum) => registers::Held::Scalar(Scalar::Increments(sum)),
                Held::List => registers::Held::List(listed(view, &key)?.clone()),
            };
            Some((key, Register { counter, actor: actor_at(actor)?, held }))
        };
        let by_key = self.0.into_iter().map(register).collect::<Option<_>>()?;
        let registers = Registers { by_key, kept: None };
        (!registers.by_key.is_empty()).then_some(registers)
    }
}

fn shown<'v>(view: &'v View, key: &str) -> Option<&'v Value> {
    layout::is_field(key).then(|| layout::value_at(&view.fields, key)).flatten()
}

/// The items that a list's key stands for in the view.
fn listed<'v>(view: &'v View, key: &str) -> Option<&'v Vec<Value>> {
    match layout::value_at(&view.fields, layout::path_of(key, "~l/")?)? {
        Value::List(items) => Some(items),
        _ => None,
    }
}
