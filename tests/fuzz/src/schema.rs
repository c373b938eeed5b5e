//! A schema's file, and records that meet it before and after. Must not know files.

use crate::shop::{self, NOW};
use comptoir_engine::record::json;
use comptoir_engine::{Collection, Engine, FieldEdit, StoreError};

/// A file of 64 kB; views are made again by what it says.
pub const MEMORY_BYTES_MAX: u64 = 128 << 20;

/// The first line is the schema, the next ones are records. A device that hears of all of it in another order shows the same.
pub fn target(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let Ok(schema) = json::parse(lines.next().unwrap_or("")) else { return };
    let mut one = shop::live(&shop::disks()[0].snapshot());
    let products = Collection::new("products").expect("a name");
    if let Err(error) = one.set_schema(&products, &schema, NOW) {
        assert!(
            matches!(error, StoreError::Schema { .. } | StoreError::Edit { .. } | StoreError::TooLarge { .. }),
            "{error:?}"
        );
        return;
    }
    let before = shop::pushed(&mut one);
    assert!(
        one.set_schema(&products, &schema, NOW).expect("the same schema").changed.is_empty(),
        "the same is no change"
    );
    for (number, line) in lines.take(4).enumerate() {
        let Ok(fields) = json::parse(line) else { continue };
        edit(&mut one, number, FieldEdit::Set(fields));
    }
    edit(&mut one, 0, FieldEdit::Increment { field: "stock".to_owned(), by: 2 });
    while one.index_step().expect("an index") {}
    let after = shop::pushed(&mut one);
    let mut two = shop::live(&shop::disks()[0].snapshot());
    shop::follow(&mut two, after, 1);
    shop::follow(&mut two, before, 2);
    while two.index_step().expect("an index") {}
    assert_eq!(one.status().digest, two.status().digest, "the same changes");
    assert_eq!(shop::records(&one), shop::records(&two), "the same changes show the same");
    let all = shop::records(&two).into_iter().map(|(record, _)| record).collect();
    shop::assert_readable(&two, &all);
}

fn edit(engine: &mut Engine, number: usize, edit: FieldEdit) {
    match engine.commit(&[(shop::id("products", &number.to_string()), edit)], NOW) {
        Ok(_) | Err(StoreError::Edit { .. } | StoreError::TooLarge { .. }) => {}
        Err(other) => panic!("{other:?}"),
    }
}
