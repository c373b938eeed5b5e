//! A transaction over several records is seen whole or not at all, on every device, at every moment.

use comptoir::{Comptoir, FieldEdit, Mode, Notice, RecordId, Settings, Value, WorkspaceId};
use comptoir_tests::relay::Relay;
use comptoir_tests::wait;
use std::path::Path;
use std::time::Duration;

const LINES: usize = 40;
const SALES: i64 = 25;

async fn device(folder: &Path, name: &str, relay: &Relay, token: &str) -> Comptoir {
    let settings = Settings {
        workspace: WorkspaceId::new("corner-bar").expect("a name"),
        relay: relay.url(),
        token: token.to_owned(),
        device_name: name.to_owned(),
    };
    let shop = Comptoir::init(&folder.join(name), settings).await.expect("a store");
    shop.stay_live(Mode::Both).await.expect("a relay is set");
    shop
}

fn product(line: usize) -> RecordId {
    RecordId::new("products", &format!("product-{line:02}")).expect("a name")
}

/// A sale, and one piece less of each product.
fn sale(number: i64) -> Vec<(RecordId, FieldEdit)> {
    let id = RecordId::new("sales", "today").expect("a name");
    let count = FieldEdit::Set([("sales".to_owned(), Value::Int(number))].into());
    let line = |line| (product(line), FieldEdit::Increment { field: "sold".to_owned(), by: 1 });
    std::iter::once((id, count)).chain((0..LINES).map(line)).collect()
}

/// The number of sales, and what each product says.
async fn seen(shop: &Comptoir) -> Vec<i64> {
    let sales = shop.get("sales", "today").await.expect("the store works");
    let Some(sales) = sales else { return Vec::new() };
    let mut seen = vec![number(&sales.fields["sales"])];
    for line in 0..LINES {
        let view = shop.get("products", product(line).key.as_str()).await.expect("the store works");
        seen.push(view.map_or(0, |view| number(&view.fields["sold"])));
    }
    seen
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Int(number) | Value::Counter(number) => *number,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_device_never_sees_a_part_of_a_sale() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token("corner-bar");
    let (a, b) = (device(folder.path(), "a", &relay, &token).await, device(folder.path(), "b", &relay, &token).await);
    let mut watch = b.watch();
    let selling = tokio::spawn(async move {
        for number in 1..=SALES {
            a.commit(sale(number)).await.expect("saved");
        }
        a
    });
    let looks = async {
        let mut last = 0;
        while last < SALES {
            assert!(matches!(watch.next().await, Some(Notice::Changed(_) | Notice::Refresh)));
            // Nothing of the next sale is there before all of it: the first read is the oldest, so no later one is less.
            let now = seen(&b).await;
            let (first, rest) = now.split_first().expect("a notice comes after the commit");
            assert!(rest.iter().all(|sold| sold >= first), "a part of a sale: {now:?}");
            last = *first;
        }
    };
    tokio::time::timeout(wait::DEADLINE, looks).await.expect("everything arrives in time");
    let a = selling.await.expect("sold");
    assert_eq!(seen(&a).await, seen(&b).await);
    for shop in [a, b] {
        tokio::time::timeout(Duration::from_secs(10), shop.shut_down()).await.expect("in time").expect("closed");
    }
}
