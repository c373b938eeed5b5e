//! Honest bytes of every kind, out of the golden files, a real shop's products and what the engine itself makes. Must not
//! know what they are for.

use crate::{shop, store, token};
use comptoir_engine::change::Change;
use comptoir_tests::golden;
use comptoir_tests::shop as real;

fn with(first: u8, bytes: &[u8]) -> Vec<u8> {
    [&[first], bytes].concat()
}

fn golden(file: &str, first: u8) -> impl Iterator<Item = Vec<u8>> {
    golden::read(file).into_iter().map(move |(_, bytes)| with(first, &bytes))
}

pub(crate) fn wire() -> Vec<Vec<u8>> {
    golden("from-device.hex", 0).chain(golden("from-relay.hex", 1)).chain(golden("batches.hex", 2)).collect()
}

pub(crate) fn change() -> Vec<Vec<u8>> {
    let whole = |change: &Change| change.bytes().to_vec();
    // The body of a chunk of up to 16 KiB begins behind 11 bytes.
    let body = |change: &Change| change.bytes()[if change.bytes().len() < 139 { 10 } else { 11 }..].to_vec();
    shop::history().iter().flat_map(|(_, change)| [whole(change), body(change)]).collect()
}

pub(crate) fn apply() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for number in 0..shop::history().len() as u8 {
        for how in 0..4u8 {
            // Each change in each way, alone and with the next, on an empty store and on a full one.
            seeds.push(vec![number % 2, how << 1, number, 0, 10, 0, 4, 1]);
            seeds.push(vec![1, how << 1, number, 1, 9, 0, 3, how << 1, number.wrapping_add(1), 0, 5, 0, 1, 65]);
        }
    }
    let raw = |bytes: &[u8]| [&[1, 2, 0][..], &(bytes.len() as u16).to_be_bytes(), bytes].concat();
    seeds.extend(shop::history().iter().take(4).map(|(_, change)| raw(change.bytes())));
    seeds
}

pub(crate) fn import() -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> =
        real::records("products.ndjson.zst").take(12).map(|line| line.to_string().into_bytes()).collect();
    let odd = [
        r#"{"id":"tea","a":{"b":[1,2.5,null,true,"é"],"":{}},"x/y~z":-9223372036854775808}"#,
        "{\"id\":1,\"n\":18446744073709551615}\n{\"id\":1,\"n\":1e300}\n{}",
        r#"{"at":{"$timestamp":"2026-01-01T00:00:00Z"},"raw":{"$bytes":"AAD/"}}"#,
    ];
    seeds.extend(odd.map(|text| text.as_bytes().to_vec()));
    seeds
}

pub(crate) fn store() -> Vec<Vec<u8>> {
    let rows = store::rows();
    (0..rows.len() as u16)
        .flat_map(|row| {
            let [high, low] = row.to_be_bytes();
            let row = if rows.len() > 256 { vec![high, low] } else { vec![low] };
            [[&row[..], &[2, 5, 2, 1, 0xff]].concat(), [&row[..], &[1, 0, 2, 1, 1]].concat()]
        })
        .collect()
}

pub(crate) fn token() -> Vec<Vec<u8>> {
    let footer = token::genuine()[0].0.rsplit('.').next().unwrap_or_default().to_owned();
    let claims = r#"{"workspace":"corner-bar","role":"editor","name":"","iat":"2023-11-14T22:13:20Z","exp":"2033-11-14T22:13:20Z","jti":"AAAA"}"#;
    vec![
        with(0, format!("v4.public.AAAA.{footer}").as_bytes()),
        with(0, b"v4.public."),
        with(0, b"v4.local.AAAA.eyJraWQiOiJrNC5waWQuLi8uLi94In0"),
        vec![1, 0],
        vec![1, 1, 20, 65, 200, 66],
        with(2, claims.as_bytes()),
        with(2, claims.replace("2033", "2003").as_bytes()),
    ]
}

pub(crate) fn query() -> Vec<Vec<u8>> {
    let texts = [
        "department = \"GROCERY\" and price_cents < 500\nprice desc, name\ntea",
        "not (name starts with 'Tea' or price in (1, 2.5, 3))\n_key desc",
        "words(name, brand) contains 'gre te' and hot = true\nratio",
        "supplier.name != \"x\" or /supplier/name is not null or `odd name` is null",
        "words() contains \"number\" and price >= -1e3 and name not contains 'x''y'",
        "state not in ('open', null, false) AND NOT price > 3",
        "",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}

pub(crate) fn schema() -> Vec<Vec<u8>> {
    let schema = r#"{"fields":{"name":{"type":"string","required":true},"stock":{"type":"counter"},"/supplier/name":{"type":"string"},
        "status":{"type":"string","rule":"forward(open<paid<closed)","default":"open"},"seen":{"type":"timestamp","rule":"max"}},
        "indexes":{"by_department":"department, price_cents","search":"words(name, brand)"}}"#;
    let rules = r#"{"fields":{"a":{"rule":"first"},"b":{"rule":"min"},"c":{"type":"list","rule":"set"},"d":{"type":"string","rule":"text"},"e":{"type":"list"}}}"#;
    let records = "{\"name\":\"Tea\",\"stock\":3,\"status\":\"paid\",\"a\":1,\"c\":[1,2],\"d\":\"long\",\"e\":[]}\n{\"name\":\"Tea\",\"b\":2}";
    [schema.replace('\n', " "), rules.to_owned()].map(|schema| format!("{schema}\n{records}").into_bytes()).into()
}
